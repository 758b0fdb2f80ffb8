//! A simulated cluster: its nodes, its network, and the steps of virtual time.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use keyraft::config::Config;
use keyraft::node::{SimulatedNode, run_simulated};
use tokio::sync::{mpsc, oneshot};
use turmoil::Sim;

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
type Mailbox = Rc<RefCell<Option<mpsc::Sender<Asked>>>>;

/// A cluster under simulation.
pub struct Cluster<'a> {
    sim: Sim<'a>,
    mailboxes: Vec<Mailbox>,
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
        Self { sim, mailboxes, trace: trace.clone() }
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

    /// Ends a node as a power cut of its machine does.
    pub fn crash(&mut self, number: usize) {
        self.note(format_args!("crash node {number}"));
        *self.mailboxes[number - 1].borrow_mut() = None;
        self.sim.crash(settings::name(number));
    }

    /// Starts a node that has crashed.
    pub fn restart(&mut self, number: usize) {
        self.note(format_args!("restart node {number}"));
        self.sim.bounce(settings::name(number));
    }

    /// Lets virtual time pass.
    pub fn pass(&mut self, time: Duration) {
        self.step_until(time, || None::<()>);
    }

    fn ask(&self, number: usize, operation: Operation) -> Option<oneshot::Receiver<Answer>> {
        let (sender, answered) = oneshot::channel();
        self.mailboxes[number - 1].borrow().as_ref()?.try_send((operation, sender)).ok()?;
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
            self.sim.step().expect("no node fails");
        }
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
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
fn take(node: SimulatedNode) -> mpsc::Sender<Asked> {
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
    sender
}
