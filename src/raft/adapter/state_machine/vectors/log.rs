//! The log of the vectors: its entries in order, and the state before it.

use std::collections::{BTreeMap, BTreeSet};

use super::position;
use crate::crypto::{Cipher, Ring};
use crate::policy::{
    ActionKind, Actor, Assignment, Author, Identity, IdentityAction, KeyAction, Pattern, Policy, PolicyAction,
    PolicyName, PolicyTag, Role,
};
use crate::raft::protocol::types::{Entry, Member, Membership, Proposal};
use crate::state::{
    AccessChange, Change, Command, CreationId, EncodedCommand, Init, KeyRecord, KeySeen, Operation, Outcome,
    RecordedOutcome, Remembered, Replaces, RequestId, RingChange, RingLink, RingNote, RingVersion, Seal, SealId, Use,
    stored_policy,
};
use crate::store::{Keystore, StoreId};
use crate::test_vectors::{
    ACTIVE_RING, CLUSTER, SEALS, STORE, TIME_NS, cluster, material, resealed, ring, root_keys, sealed,
};
use openraft::entry::RaftEntry;

const ADMIN: Identity = Identity::from_bytes([0xa1; 32]);
const APP: Identity = Identity::from_bytes([0xa2; 32]);
const OPERATOR: Identity = Identity::from_bytes([0xa3; 32]);
const STRANGER: Identity = Identity::from_bytes([0xa4; 32]);
const SECOND_ADMIN: Identity = Identity::from_bytes([0xa5; 32]);
/// The index of the log's first entry.
const FIRST: u64 = 10;
const MINUTE: u32 = 30_000_000;

/// Makes the state before the log: one key whose newest version is the last that a key may have, and a memory that has
/// forgotten some commands. Only after thousands of entries could a log have every outcome otherwise.
pub(super) fn prepare(keystore: &mut Keystore) {
    keystore.begin_memory(130, FIRST - 3);
    let outcomes = [RecordedOutcome::new(999, "from a newer version".into()), Outcome::Done.into()];
    for (index, outcome) in (FIRST - 2..).zip(outcomes) {
        keystore.remember(Remembered { request_id: request_id(index), index, outcome });
        keystore.advance(crate::store::LogId { term: 3, node: 2, index });
    }
    let record = record("full", 4, 4096).encode().into();
    let full = Change::PutKey { name: "full".to_owned(), version: 4096, record, revokes: false };
    keystore.change(FIRST - 1, vec![full]);
}

/// Every entry, with what it is.
pub(super) fn entries() -> Vec<(&'static str, Entry)> {
    let mut log = Log::default();
    log.begin();
    log.create_keys();
    log.refuse_levels_and_bytes();
    log.rotate_and_disable();
    log.delete_and_restore();
    log.change_policies();
    log.change_identities();
    log.end();
    log.change_seals();
    log.change_ring();
    log.entries
}

#[derive(Default)]
struct Log {
    entries: Vec<(&'static str, Entry)>,
}

impl Log {
    fn next(&self) -> u64 {
        FIRST + self.entries.len() as u64
    }

    fn entry(&mut self, what: &'static str, entry: Entry) {
        self.entries.push((what, entry));
    }

    fn encoded(&mut self, what: &'static str, command: &EncodedCommand) {
        let entry = Entry::new_normal(position(self.next()), Proposal::new(command));
        self.entry(what, entry);
    }

    fn command(&mut self, what: &'static str, command: &Command) {
        let (id, seen) = (request_id(self.next()), self.next() - 1);
        self.encoded(what, &command.encode(1, id, seen));
    }

    /// A command of the admin whom the configuration file names.
    fn by_admin(&mut self, what: &'static str, action: ActionKind, operation: Operation) {
        self.command(what, &by(ADMIN, action, operation));
    }

    fn on_key(&mut self, what: &'static str, action: KeyAction, operation: Operation) {
        self.by_admin(what, ActionKind::Key(action), operation);
    }

    fn on_policy(&mut self, what: &'static str, action: PolicyAction, change: AccessChange) {
        self.by_admin(what, ActionKind::Policy(action), Operation::Access(change));
    }

    fn on_identity(&mut self, what: &'static str, action: IdentityAction, change: AccessChange) {
        self.by_admin(what, ActionKind::Identity(action), Operation::Access(change));
    }

    fn begin(&mut self) {
        self.entry("a blank entry", Entry::new_blank(position(self.next())));
        self.entry("a membership of three voters", Entry::new_membership(position(self.next()), membership(3)));
        self.on_key("a command before the first one", KeyAction::Create, create("first", 0x60, 1, Cipher::Aes256));
        self.command("the cluster's first command, from a client", &Command { actor: admin(), ..by_node(init()) });
        self.command("the cluster's first command", &by_node(init()));
        self.command("the first command again", &by_node(init()));
        self.entry(
            "a joint membership, in which node 4 takes the place of node 1",
            Entry::new_membership(position(self.next()), membership(4)),
        );
    }

    fn create_keys(&mut self) {
        let aes = || create("app", 1, 1, Cipher::Aes256);
        let twice = by(ADMIN, ActionKind::Key(KeyAction::Create), aes()).encode(1, request_id(self.next()), 16);
        self.encoded("create a key", &twice);
        self.encoded("the same command once more: its outcome is remembered, and it changes nothing", &twice);
        self.on_key("create a key that exists", KeyAction::Create, aes());
        let old_ring = sealed("app2", 0x61, 1, &material(Cipher::Aes256, 1, true), 1).encode().into();
        let operation = Operation::CreateKey { name: "app2".to_owned(), record: old_ring };
        self.on_key("create a key, sealed under an older ring version", KeyAction::Create, operation);
        let without_hmac = sealed("imported", 2, 1, &material(Cipher::ChaCha20, 1, false), ACTIVE_RING);
        let operation = Operation::CreateKey { name: "imported".to_owned(), record: without_hmac.encode().into() };
        self.on_key("import a key for ChaCha20 that lacks an HMAC key", KeyAction::Import, operation);
        let stranger = by(STRANGER, ActionKind::Key(KeyAction::Create), create("other", 0x62, 1, Cipher::Aes256));
        let stranger = Command { actor: Actor::Client { identity: STRANGER, file_admin: false }, ..stranger };
        self.command("create a key as somebody whom no policy permits it", &stranger);
        let late = by(ADMIN, ActionKind::Key(KeyAction::Create), create("late", 0x63, 1, Cipher::Aes256));
        let late = late.encode(1, request_id(self.next()), 3);
        self.encoded("a command from before what the memory has forgotten", &late);
        let by_node = Command {
            actor: Actor::Node,
            ..by(ADMIN, ActionKind::Key(KeyAction::Create), create("file", 3, 1, Cipher::Aes256))
        };
        self.command("create a key of the configuration file, by a node", &by_node);
    }

    fn refuse_levels_and_bytes(&mut self) {
        let (id, seen) = (request_id(self.next()), self.next() - 1);
        self.encoded("a command whose body is not a protobuf message", &EncodedCommand::new(1, id, seen, b"\xff\xff"));
        let body = by_node(Operation::AdvanceTime { time_ns: 5 }).encode(1, id, seen);
        let (id, seen) = (request_id(self.next()), self.next() - 1);
        let with_default = [body.body(), &[0x18, 0x00]].concat();
        self.encoded(
            "a body with a field that has its default value: level 1 would not encode it so",
            &EncodedCommand::new(1, id, seen, &with_default),
        );
        let (id, seen) = (request_id(self.next()), self.next() - 1);
        self.encoded("a command below the active level", &EncodedCommand::new(0, id, seen, body.body()));
        self.command("raise the level at the active level", &by_node(Operation::RaiseLevel { to: 2 }));
    }

    fn rotate_and_disable(&mut self) {
        let set = |version, disabled| Operation::SetVersion { key: seen("app", 1), version, disabled };
        self.on_key("rotate a key", KeyAction::Rotate, rotate("app", 1, 2));
        self.on_key("rotate a key to a version that exists", KeyAction::Rotate, rotate("app", 1, 2));
        self.on_key(
            "rotate a key that has as many versions as a key may have",
            KeyAction::Rotate,
            rotate("full", 4, 4097),
        );
        self.on_key("disable a version", KeyAction::Disable, set(1, true));
        self.on_key("disable the newest version", KeyAction::Disable, set(2, true));
        self.on_key("disable a version that the key does not have", KeyAction::Disable, set(9, true));
        self.on_key("enable a version", KeyAction::Enable, set(1, false));
        self.on_key("disable it again", KeyAction::Disable, set(1, true));
    }

    fn delete_and_restore(&mut self) {
        let delete = |name: &str, creation, window_ns| Operation::DeleteKey { key: seen(name, creation), window_ns };
        self.on_key("delete a key that does not exist", KeyAction::Delete, delete("app", 0x64, 0));
        self.on_key("delete a key with a window of 10 s", KeyAction::Delete, delete("app", 1, 10_000_000_000));
        self.on_key("create a key whose name waits", KeyAction::Create, create("app", 0x65, 1, Cipher::Aes256));
        self.on_key("restore it", KeyAction::Restore, Operation::RestoreKey(seen("app", 1)));
        self.on_key("restore a key that does not wait", KeyAction::Restore, Operation::RestoreKey(seen("app", 1)));
        self.on_key("delete a key with a window of 1 ns", KeyAction::Delete, delete("imported", 2, 1));
        self.command("advance time", &by_node(Operation::AdvanceTime { time_ns: 7_000_000_000 }));
        let purge = by(ADMIN, ActionKind::Key(KeyAction::Purge), Operation::PurgeKey(seen("imported", 2)));
        self.command("purge a key whose window is over, by a node", &Command { actor: Actor::Node, ..purge });
        self.on_key("delete a key at once", KeyAction::Delete, delete("file", 3, 0));
        self.on_key("create a key for ChaCha20", KeyAction::Create, create("waiting", 5, 1, Cipher::ChaCha20));
        self.on_key("delete it with a window of an hour", KeyAction::Delete, delete("waiting", 5, 3_600_000_000_000));
        let uses = [("app", 1, 0), ("full", 4, 1), ("gone", 0x66, 2)];
        let used = uses.map(|(name, creation, after)| Use { key: seen(name, creation), minute: MINUTE + after });
        self.command("note the last uses of keys", &by_node(Operation::RecordUse(used.into())));
    }

    fn change_policies(&mut self) {
        let put = |name: &str, allow: &[&str], replaces| AccessChange::PutPolicy {
            name: policy_name(name),
            policy: policy(allow, &["/v1/key/delete/*"]),
            replaces,
        };
        self.on_policy("create a policy", PolicyAction::Create, put("ops", &["/v1/key/*"], Replaces::Nothing));
        self.on_policy("create a policy that exists", PolicyAction::Create, put("ops", &["/"], Replaces::Nothing));
        self.on_policy("replace any policy", PolicyAction::Write, put("ops", &["/v1/log/*"], Replaces::Anything));
        let author = Author { created_at: Some(time_ns()), created_by: Some(ADMIN) };
        let stored = stored_policy(&policy_name("ops"), policy(&["/v1/log/*"], &["/v1/key/delete/*"]), author);
        let only = Replaces::Only(stored.value.tag);
        let another = Replaces::Only(PolicyTag([7; 32]));
        let patterns = ["/v1/key/*", "/v1/status"];
        self.on_policy("replace a policy that has changed", PolicyAction::Write, put("ops", &patterns, another));
        self.on_policy("replace only the policy that was read", PolicyAction::Write, put("ops", &patterns, only));
        self.on_policy("create another policy", PolicyAction::Create, put("old", &["/v1/ready"], Replaces::Nothing));
        let delete = |name| AccessChange::DeletePolicy { name: policy_name(name) };
        self.on_policy("delete a policy", PolicyAction::Delete, delete("old"));
        self.on_policy("delete a policy that does not exist", PolicyAction::Delete, delete("old"));
    }

    fn change_identities(&mut self) {
        let create = |identity, role| AccessChange::CreateIdentity { identity, role };
        let assign = |identity| AccessChange::AssignPolicy { policy: policy_name("ops"), identity };
        let delete = |identity| AccessChange::DeleteIdentity { identity };
        let role = || Role::Policy(policy_name("ops"));
        use IdentityAction::{Create, Delete};
        self.on_policy("assign a policy", PolicyAction::Assign, assign(OPERATOR));
        self.on_policy("assign a policy to oneself", PolicyAction::Assign, assign(ADMIN));
        self.on_identity("create an identity", Create, create(STRANGER, role()));
        self.on_identity("create an identity that exists", Create, create(STRANGER, role()));
        self.on_identity("create an admin", Create, create(SECOND_ADMIN, Role::Admin));
        self.on_policy("assign a policy to an admin", PolicyAction::Assign, assign(SECOND_ADMIN));
        let last = by(SECOND_ADMIN, ActionKind::Identity(Delete), Operation::Access(delete(SECOND_ADMIN)));
        let actor = Actor::Client { identity: SECOND_ADMIN, file_admin: false };
        let last = Command { actor, file_names_admin: false, ..last };
        self.command("delete the last admin, on a node whose file names no admin", &last);
        self.on_identity("delete an identity", Delete, delete(STRANGER));
        self.on_identity("delete an identity that does not exist", Delete, delete(STRANGER));
    }

    fn on_ring(&mut self, what: &'static str, change: RingChange) {
        self.command(what, &by_node(Operation::Ring(change)));
    }

    fn change_seals(&mut self) {
        let remove = |id| RingChange::RemoveSeal { id: SealId(id) };
        self.on_ring("add a seal without a wrap of each ring version", third_seal([1]));
        self.on_ring("add a seal", third_seal([1, 2]));
        self.on_ring("add a seal that exists", third_seal([1, 2]));
        self.on_ring("remove a seal that does not exist", remove([0x74; 16]));
        self.on_ring("remove a seal before every member has noted another one", remove(SEALS[1]));
        for (what, node) in [
            ("note what node 1 has opened", 1),
            ("note what node 2 has opened", 2),
            ("note what node 3 has opened", 3),
            ("note what node 4 has opened", 4),
        ] {
            let seals = [SEALS[0], [0x73; 16]].map(SealId).into();
            self.on_ring(what, RingChange::NoteOpened(RingNote { node, versions: vec![1, 2], seals }));
        }
        self.on_ring("remove a seal", remove(SEALS[1]));
    }

    fn change_ring(&mut self) {
        let activate = |version| RingChange::ActivateVersion { version };
        let existing = RingVersion { version: 2, ..third_version() };
        self.on_ring("add a ring version that exists", RingChange::AddVersion(existing));
        self.on_ring("add a ring version", RingChange::AddVersion(third_version()));
        self.on_ring("activate a ring version that does not exist", activate(9));
        self.on_ring("activate a ring version below the active one", activate(1));
        self.on_ring("activate a ring version before every member has noted it", activate(3));
        for (what, node) in [
            ("note that node 1 has opened the new version", 1),
            ("note that node 2 has opened it, too", 2),
            ("note that node 3 has opened it, too", 3),
            ("note that node 4 has opened it under the version before, without a wrap", 4),
        ] {
            let seals = if node == 4 { Vec::new() } else { vec![SealId(SEALS[0])] };
            self.on_ring(what, RingChange::NoteOpened(RingNote { node, versions: vec![1, 2, 3], seals }));
        }
        self.on_ring("activate a ring version", activate(3));
        self.on_ring("drop a ring version that seals records", RingChange::DropVersion { version: 2 });
        let seals = vec![SealId(SEALS[0])];
        let note = RingNote { node: 4, versions: vec![1, 2, 3], seals };
        self.on_ring("note that node 4 has opened a wrap, too", RingChange::NoteOpened(note));
        self.on_ring("drop a ring version that seals nothing", RingChange::DropVersion { version: 1 });
    }

    fn end(&mut self) {
        let by_app = by(APP, ActionKind::Key(KeyAction::Create), create("last", 6, 1, Cipher::Aes256));
        let by_app = Command { actor: Actor::Client { identity: APP, file_admin: false }, ..by_app };
        self.command("create a key as somebody whose policy permits it", &by_app);
    }
}

/// The third version of the ring, sealed under the second, with a wrap of the first root key.
fn third_version() -> RingVersion {
    let ring = Ring::of_keys(2, [(2, [0x32; 32]), (3, [0x33; 32])]);
    let wrap = ring.wrap_with_nonce(3, &root_keys()[0], SEALS[0], &CLUSTER.0, 0x13);
    let link = RingLink { previous: 2, sealed: ring.link_with_nonce(3, 2, &CLUSTER.0, 0x3e).into() };
    let resealed = resealed(&Ring::of_keys(3, [(3, [0x33; 32])]));
    RingVersion { version: 3, wraps: vec![wrap.encode().into()], link: Some(link), resealed: Some(resealed) }
}

/// A third seal, which has the root key of the second, and its wraps of these versions.
fn third_seal<const N: usize>(versions: [u32; N]) -> RingChange {
    let id = SealId([0x73; 16]);
    let wrap = |version: u32| {
        let nonce = 0x30 + u8::try_from(version).expect("small");
        let wrap = ring().wrap_with_nonce(version, &root_keys()[1], id.0, &CLUSTER.0, nonce);
        (version, wrap.encode().into())
    };
    RingChange::AddSeal { seal: Seal { id, name: "third".to_owned() }, wraps: versions.map(wrap).into() }
}

fn request_id(index: u64) -> RequestId {
    let mut id = [0x1d; 16];
    id[8..].copy_from_slice(&index.to_be_bytes());
    RequestId(id)
}

fn time_ns() -> i64 {
    TIME_NS + 1_000_000_000
}

fn admin() -> Actor {
    Actor::Client { identity: ADMIN, file_admin: true }
}

fn by(identity: Identity, action: ActionKind, operation: Operation) -> Command {
    let actor = Actor::Client { identity, file_admin: true };
    Command { time_ns: time_ns(), actor, action: Some(action), file_names_admin: true, operation }
}

fn by_node(operation: Operation) -> Command {
    Command { time_ns: time_ns(), actor: Actor::Node, action: None, file_names_admin: false, operation }
}

fn init() -> Operation {
    let author = Author { created_at: Some(TIME_NS), created_by: Some(ADMIN) };
    let policy = policy(&["/v1/key/create/*", "/v1/key/generate/*", "/v1/key/decrypt/*"], &[]);
    let role = Role::Policy(policy_name("app"));
    Operation::Init(Box::new(Init {
        cluster: cluster(),
        policies: vec![(policy_name("app"), policy, author)],
        assignments: vec![(APP, Assignment { role, author })],
    }))
}

fn policy_name(name: &str) -> PolicyName {
    PolicyName::parse(name).expect("a name")
}

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    let patterns =
        |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect::<Vec<_>>();
    Policy::new(patterns(allow), patterns(deny))
}

fn record(name: &str, creation: u8, version: u32) -> KeyRecord {
    sealed(name, creation, version, &material(Cipher::Aes256, version, true), ACTIVE_RING)
}

fn create(name: &str, creation: u8, version: u32, cipher: Cipher) -> Operation {
    let record = sealed(name, creation, version, &material(cipher, version, true), ACTIVE_RING);
    Operation::CreateKey { name: name.to_owned(), record: record.encode().into() }
}

fn rotate(name: &str, creation: u8, version: u32) -> Operation {
    Operation::RotateKey { name: name.to_owned(), record: record(name, creation, version).encode().into() }
}

fn seen(name: &str, creation: u8) -> KeySeen {
    KeySeen { name: name.to_owned(), creation_id: CreationId([creation; 16]) }
}

/// A membership of the nodes 1 to `nodes`. With four, node 4 takes the place of node 1.
pub(super) fn membership(nodes: u8) -> Membership {
    let member = |id: u8| Member {
        name: format!("node-{id}"),
        api_address: format!("node-{id}.example:7373"),
        peer_address: format!("node-{id}.example:7374"),
        store_id: StoreId(if id == 2 { STORE } else { [0x50 + id; 16] }),
        key: Identity::from_bytes([0x70 + id; 32]),
    };
    let members: BTreeMap<u64, Member> = (1..=nodes).map(|id| (id.into(), member(id))).collect();
    let voters = |from: u64| (from..from + 3).collect::<BTreeSet<u64>>();
    let configs = if nodes == 4 { vec![voters(1), voters(2)] } else { vec![voters(1)] };
    Membership::new(configs, members).expect("every voter is a member")
}
