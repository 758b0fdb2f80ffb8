//! Points at which a test build (cargo feature `failpoints`) can crash, as a power cut would. Other builds do nothing there.
//!
//! The variable `FAILPOINTS` says where: `FAILPOINTS='founding-document-noted=return'` ends the process, without any cleaning up, when it
//! reaches that point. `2*off->return` lets it pass twice before.

/// A point that a process can reach. Each is a durable step of the first start of a cluster, or a message in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// The data folder of a new node has its `cluster.id`.
    FolderNoted,
    /// The first node is about to make the founding document.
    Founding,
    /// A node received the founding document and has not noted it.
    DocumentReceived,
    /// A node has noted the founding document, and has not answered.
    DocumentNoted,
    /// A node has made its store, and has not noted that.
    StoreMade,
    /// A node has noted that its store is made.
    StoreNoted,
    /// The first node knows that another one has noted the document.
    DocumentHandedOver,
    /// A node knows that all founders have noted the document, and has not noted that.
    AllNoted,
    /// A node has noted that the cluster has begun.
    BegunNoted,
    /// A node has written the first entry of its log.
    FirstEntryWritten,
    /// A leader is about to propose the first command.
    FirstCommandProposed,
    /// A node has applied the first command, and has the founding document still.
    FirstCommandApplied,
    /// A node has dropped the founding document.
    DocumentDropped,
}

impl Failpoint {
    /// Its name in the variable `FAILPOINTS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FolderNoted => "founding-folder-noted",
            Self::Founding => "founding",
            Self::DocumentReceived => "founding-document-received",
            Self::DocumentNoted => "founding-document-noted",
            Self::StoreMade => "founding-store-made",
            Self::StoreNoted => "founding-store-noted",
            Self::DocumentHandedOver => "founding-document-handed-over",
            Self::AllNoted => "founding-all-noted",
            Self::BegunNoted => "founding-begun-noted",
            Self::FirstEntryWritten => "founding-first-entry-written",
            Self::FirstCommandProposed => "founding-first-command-proposed",
            Self::FirstCommandApplied => "founding-first-command-applied",
            Self::DocumentDropped => "founding-document-dropped",
        }
    }
}

/// Ends the process at this point, if `FAILPOINTS` says so.
#[cfg(feature = "failpoints")]
pub fn reached(point: Failpoint) {
    fail::fail_point!(point.name(), |_| std::process::abort());
}

/// Does nothing in this build.
#[cfg(not(feature = "failpoints"))]
pub const fn reached(_: Failpoint) {}

/// Reads `FAILPOINTS`. The points hold as long as the returned value.
#[cfg(feature = "failpoints")]
pub fn read_variable() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
}
