"""What a fault is, and its row in docs/reliability.md."""


class Fault:
    """A fault by its name. `act` installs it on a stage and lifts it again."""

    def __init__(self, name, what, act, expected, quick=False, prepare=None, needs=(), nodes=3):
        self.name, self.what, self.act, self.expected = name, what, act, expected
        self.quick, self.prepare, self.needs, self.nodes = quick, prepare, needs, nodes


class Row:
    """Faults that end alike, and what docs/reliability.md says about them."""

    def __init__(self, what, node, outcome, operator, faults, not_yet=None):
        self.what, self.node, self.operator, self.faults = what, node, operator, faults
        # What is still missing for this outcome.
        self.outcome = f"{outcome} **Not yet:** {not_yet}" if not_yet else outcome


class Expected:
    """What must be seen of a fault."""

    def __init__(self, serving="others", writes=True, refusal=None, notice=None, stays_out=None, may_stay_out=None, alone=None):
        self.serving = serving  # "all" nodes decrypt all the time, the "others" do, or "none" has to
        self.writes = writes  # whether writes go on somewhere
        self.refusal = refusal  # what a refused write must say meanwhile
        self.notice = notice  # what a node with the fault must log or report
        self.stays_out = stays_out  # what a node must say that cannot come back before a later feature
        self.may_stay_out = may_stay_out  # what a node must say if it does not come back; it may come back
        self.alone = alone  # what a node must say if it and one other node alone do not serve; None: they must serve
