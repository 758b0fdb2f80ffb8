//! The clients: they ask random nodes for random operations, and check each answer.

use std::time::Duration;

use keyraft::kms::Error;
use rand10::RngExt as _;
use rand10::rngs::StdRng;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use crate::cluster::Cluster;
use crate::history::{Asked, History};
use crate::invariants;
use crate::operations::{Answer, DEADLINE, Operation};

/// How many operations may wait for answers at a time.
const MOST_WAITING: usize = 32;
/// How much longer than its deadline an operation may take.
const GRACE: Duration = Duration::from_secs(2);
/// The pause before a client asks again.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the operations.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub asked: u64,
    pub done: u64,
    pub refused: u64,
    /// The node ended before it answered, or does not know.
    pub unknown: u64,
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    history: History,
    waiting: Vec<(Asked, Receiver<Answer>)>,
    names: u64,
    pub figures: Figures,
}

impl Clients {
    /// What they know.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many operations wait for answers.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks a random node for a random operation, if one is free.
    pub fn ask(&mut self, cluster: &Cluster<'_>, rng: &mut StdRng) {
        let node = rng.random_range(cluster.numbers());
        let operation = self.choose(rng);
        if self.waiting.len() < MOST_WAITING {
            self.begin(cluster, node, operation);
        }
    }

    /// Takes the answers that have come.
    pub fn take_answers(&mut self, cluster: &Cluster<'_>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|(asked, answer)| !self.takes(cluster, asked, answer));
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
    }

    /// Asks a node until it gives an answer that is more than "not now".
    ///
    /// # Panics
    /// It gives none within this time.
    pub fn ask_until_answered(
        &mut self,
        cluster: &mut Cluster<'_>,
        node: usize,
        operation: &Operation,
        within: Duration,
    ) -> Answer {
        let end = cluster.elapsed() + within;
        let mut last = None;
        while cluster.elapsed() < end {
            self.history.asked(operation);
            let asked = Asked { operation: operation.clone(), node, at_ms: cluster.now_ms() };
            let answer = cluster.call(node, operation.clone(), DEADLINE + GRACE);
            let passes = matches!(&answer, None | Some(Answer::Failed(Error::NoLeader | Error::Stopping)));
            last.clone_from(&answer);
            if let Some(answer) = answer.filter(|_| !passes) {
                invariants::check_answer(&self.history, &asked, &answer);
                return answer;
            }
            cluster.pass(PAUSE);
        }
        panic!("INVARIANT every node serves again: node {node} does not, within {within:?}: {operation:?}: {last:?}")
    }

    fn choose(&mut self, rng: &mut StdRng) -> Operation {
        let known: Vec<&String> = self.history.0.keys().collect();
        let kind = rng.random_range(0..10);
        if known.is_empty() || kind < 2 {
            self.names += 1;
            return Operation::Create(format!("key-{}", self.names));
        }
        let name = known[rng.random_range(0..known.len())].clone();
        let facts = &self.history.0[&name];
        match kind {
            2 if !facts.to_be_deleted && facts.created_ms.is_some() => Operation::Delete(name),
            3..=6 if !facts.data_keys.is_empty() => {
                let key = facts.data_keys[rng.random_range(0..facts.data_keys.len())].clone();
                Operation::Decrypt(name, key)
            }
            _ => Operation::Generate(name),
        }
    }

    fn begin(&mut self, cluster: &Cluster<'_>, node: usize, operation: Operation) {
        let Some(answer) = cluster.ask(node, operation.clone()) else { return };
        self.history.asked(&operation);
        self.figures.asked += 1;
        self.waiting.push((Asked { operation, node, at_ms: cluster.now_ms() }, answer));
    }

    /// Whether an answer has come, or cannot come any more.
    fn takes(&mut self, cluster: &Cluster<'_>, asked: &Asked, answer: &mut Receiver<Answer>) -> bool {
        let answer = match answer.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Closed) => {
                self.figures.unknown += 1;
                return true;
            }
            Err(TryRecvError::Empty) => {
                let took_ms = u128::from(cluster.now_ms() - asked.at_ms);
                assert!(took_ms <= (DEADLINE + GRACE).as_millis(), "INVARIANT a deadline holds: {asked:?}");
                return false;
            }
        };
        cluster.note(format_args!("{asked:?}: {answer:?}"));
        match &answer {
            Answer::Failed(Error::OutcomeUnknown) => self.figures.unknown += 1,
            Answer::Failed(_) => self.figures.refused += 1,
            _ => self.figures.done += 1,
        }
        invariants::check_answer(&self.history, asked, &answer);
        self.history.answered(asked, &answer, cluster.now_ms());
        true
    }
}
