//! A simulated cluster: its nodes, its network, and the steps of virtual time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use keyraft::config::Config;
use keyraft::node::{SimulatedNode, run_simulated};
use keyraft::store::Progress;
use tokio::sync::{mpsc, oneshot, watch};
use turmoil::Sim;

use crate::faults::{self, Fault, Way};
use crate::operations::{Answer, Operation, carry_out};
use crate::settings;
use crate::trace::Trace;

/// The step of virtual time. What a node does within one step takes no time.
const STEP: Duration = Duration::from_millis(1);
/// How much slower the slowest message is than the fastest.
const SLOWEST_MESSAGE: Duration = Duration::from_millis(10);
/// A run that takes longer has lost its way.
const LONGEST_RUN: Duration = Duration::from_secs(600);
/// When a run begins, after the beginning of Unix time.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
/// The operations that may wait for one node.
const QUEUE: usize = 1_024;

type Asked = (Operation, oneshot::Sender<Answer>);
/// Where a node takes operations, while it serves.
type Mailbox = Rc<RefCell<Option<ServingNode>>>;
type Ways = BTreeMap<(usize, usize), Way>;

/// A node that serves, as the simulation sees it.
struct ServingNode {
    sender: mpsc::Sender<Asked>,
    progress: watch::Receiver<Progress>,
}

/// A cluster under simulation.
pub struct Cluster<'a> {
    sim: Sim<'a>,
    mailboxes: Vec<Mailbox>,
    /// The nodes that do not run.
    down: BTreeSet<usize>,
    ways: Ways,
    trace: Trace,
}

impl Cluster<'_> {
    /// A cluster of this many nodes, all of which start now for the first time.
    pub fn start(seed: u64, folder: &Path, count: usize, trace: &Trace) -> Self {
        let mut builder = turmoil::Builder::new();
        let builder = builder.rng_seed(seed).tick_duration(STEP).simulation_duration(LONGEST_RUN);
        let builder = builder.max_message_latency(SLOWEST_MESSAGE).tcp_capacity(4_096).enable_random_order();
        let mut sim = builder.epoch(SystemTime::UNIX_EPOCH + BEGINNING).build();
        let mailboxes = settings::configs(folder, count).into_iter().map(|config| {
            let mailbox = Mailbox::default();
            host(&mut sim, config, &mailbox);
            mailbox
        });
        let mailboxes = mailboxes.collect();
        Self { sim, mailboxes, down: BTreeSet::new(), ways: Ways::new(), trace: trace.clone() }
    }

    /// Waits until this node, counted from 1, serves.
    pub fn wait_until_serving(&mut self, number: usize, within: Duration) {
        let mailbox = Rc::clone(&self.mailboxes[number - 1]);
        self.step_until(within, || mailbox.borrow().is_some().then_some(()))
            .unwrap_or_else(|| panic!("node {number} does not serve within {within:?}"));
        self.note(format_args!("node {number} serves"));
    }

    /// Has a node carry out an operation.
    pub fn call(&mut self, number: usize, operation: Operation, within: Duration) -> Option<Answer> {
        self.note(format_args!("ask node {number}: {operation:?}"));
        let mut answered = self.ask(number, operation)?;
        let answer = self.step_until(within, || answered.try_recv().ok());
        self.note(format_args!("node {number} answers: {answer:?}"));
        answer
    }

    /// Has these faults hold, and no others.
    pub fn have(&mut self, faults: &[Fault]) {
        for node in self.numbers() {
            let down = faults.iter().any(|fault| fault.down() == Some(node));
            match (down, self.down.contains(&node)) {
                (true, false) => self.crash(node, faults),
                (false, true) => self.restart(node),
                _ => {}
            }
        }
        self.set_ways(faults);
    }

    fn crash(&mut self, node: usize, faults: &[Fault]) {
        if faults.contains(&Fault::PowerCut(node)) {
            // Nobody hears that its connections end.
            self.set_ways(&[faults, &[Fault::Isolated(node)]].concat());
        }
        self.note(format_args!("node {node} ends"));
        *self.mailboxes[node - 1].borrow_mut() = None;
        self.sim.crash(settings::name(node));
        self.down.insert(node);
    }

    fn restart(&mut self, node: usize) {
        self.note(format_args!("node {node} starts again"));
        self.down.remove(&node);
        self.sim.bounce(settings::name(node));
    }

    fn set_ways(&mut self, faults: &[Fault]) {
        let wanted = faults::ways(faults, self.mailboxes.len());
        let pairs: Vec<_> = wanted.keys().copied().filter(|(from, to)| from < to).collect();
        for (one, other) in pairs {
            let both =
                |ways: &Ways| [(one, other), (other, one)].map(|pair| ways.get(&pair).copied().unwrap_or(Way::Open));
            let (now, then) = (both(&wanted), both(&self.ways));
            if now == then {
                continue;
            }
            let (from, to) = (settings::name(one), settings::name(other));
            if then.contains(&Way::Held) {
                self.sim.release(&*from, &*to);
            }
            self.sim.repair(&*from, &*to);
            match now {
                [Way::Closed, Way::Closed] => self.sim.partition(&*from, &*to),
                [Way::Closed, _] => self.sim.partition_oneway(&*from, &*to),
                [_, Way::Closed] => self.sim.partition_oneway(&*to, &*from),
                [Way::Held, _] | [_, Way::Held] => self.sim.hold(&*from, &*to),
                [Way::Open, Way::Open] => {}
            }
        }
        self.ways = wanted;
    }

    /// The nodes, counted from 1.
    pub fn numbers(&self) -> RangeInclusive<usize> {
        1..=self.mailboxes.len()
    }

    /// Shows how far each node that serves has applied the log.
    pub fn each_progress(&self, mut see: impl FnMut(usize, &Progress)) {
        for (mailbox, node) in self.mailboxes.iter().zip(1..) {
            if let Some(serving) = &*mailbox.borrow() {
                see(node, &serving.progress.borrow());
            }
        }
    }

    /// How long the run has gone on.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The same in milliseconds.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.sim.elapsed().as_millis()).expect("a run is short")
    }

    /// Lets one step of virtual time pass.
    pub fn step(&mut self) {
        self.sim.step().expect("no node fails");
    }

    /// Lets virtual time pass.
    pub fn pass(&mut self, time: Duration) {
        self.step_until(time, || None::<()>);
    }

    /// Asks a node for an operation. `None` if it does not serve.
    pub fn ask(&self, number: usize, operation: Operation) -> Option<oneshot::Receiver<Answer>> {
        let (sender, answered) = oneshot::channel();
        self.mailboxes[number - 1].borrow().as_ref()?.sender.try_send((operation, sender)).ok()?;
        Some(answered)
    }

    fn step_until<T>(&mut self, within: Duration, mut reached: impl FnMut() -> Option<T>) -> Option<T> {
        let end = self.sim.elapsed() + within;
        loop {
            if let Some(reached) = reached() {
                return Some(reached);
            }
            if self.sim.elapsed() >= end {
                return None;
            }
            self.step();
        }
    }

    /// Writes what the simulation does to the trace.
    pub fn note(&self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.sim.elapsed().as_millis(), what);
    }
}

fn host(sim: &mut Sim<'_>, config: Config, mailbox: &Mailbox) {
    let mailbox = Rc::clone(mailbox);
    sim.host(config.cluster.name.clone(), move || {
        let (config, mailbox) = (config.clone(), Rc::clone(&mailbox));
        async move {
            let ended = Box::pin(run_simulated(config, |node| *mailbox.borrow_mut() = Some(take(node)))).await;
            tracing::error!(target: "keyraft", ?ended, "the node ended");
            *mailbox.borrow_mut() = None;
            Ok(())
        }
    });
}

/// Takes operations for this node.
fn take(node: SimulatedNode) -> ServingNode {
    let progress = node.cluster.progress();
    let (sender, mut asked) = mpsc::channel::<Asked>(QUEUE);
    tokio::spawn(async move {
        while let Some((operation, answer)) = asked.recv().await {
            let kms = std::sync::Arc::clone(&node.kms);
            tokio::spawn(async move {
                // Nobody may wait any more.
                let _ = answer.send(carry_out(&kms, operation).await);
            });
        }
    });
    ServingNode { sender, progress }
}
