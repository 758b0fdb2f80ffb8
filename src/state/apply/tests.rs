//! Tables of commands and states, with what must come of them.

use bytes::Bytes;

use super::keys::{MAX_RECORD_BYTES, MAX_VERSIONS};
use super::*;
use crate::crypto::Cipher;
use crate::policy::{
    Assignment, Author, Identity, IdentityAction, Pattern, Policy, PolicyAction, PolicyEntry, PolicyName, PolicyTag,
    Role,
};
use crate::state::{
    AccessChange, ClusterId, CreationId, IncarnationId, KeyRecord, KeySeen, Memory, Replaces, RequestId, Use,
};
use crate::test_vectors::no_secrets;

const ROOT: Identity = Identity::from_bytes([1; 32]);
pub(super) const APP: Identity = Identity::from_bytes([2; 32]);
const OPERATOR: Identity = Identity::from_bytes([3; 32]);
const NOBODY: Identity = Identity::from_bytes([4; 32]);
pub(super) const ADMIN: Actor = Actor::Client { identity: ROOT, file_admin: true };
const STRANGER: Actor = Actor::Client { identity: NOBODY, file_admin: false };
const ID: CreationId = CreationId([7; 16]);

fn record(version: u32, ring_version: u32, sealed: usize) -> KeyRecord {
    KeyRecord {
        creation_id: ID,
        version,
        cipher: Cipher::Aes256,
        disabled: false,
        ring_version,
        author: Author::default(),
        last_used: None,
        delete_at: None,
        sealed: vec![0; sealed],
    }
}

pub(super) fn sealed(version: u32, ring_version: u32) -> Bytes {
    record(version, ring_version, 110).encode().into()
}

pub(super) fn create(ring_version: u32, length: usize) -> Operation {
    Operation::CreateKey { name: "a".to_owned(), record: record(1, ring_version, length).encode().into() }
}

fn rotate(version: u32) -> Operation {
    Operation::RotateKey { name: "a".to_owned(), record: sealed(version, 2) }
}

fn seen(creation_id: CreationId) -> KeySeen {
    KeySeen { name: "a".to_owned(), creation_id }
}

fn delete(creation_id: CreationId) -> Operation {
    Operation::DeleteKey { key: seen(creation_id), window_ns: 0 }
}

fn set(version: u32, disabled: bool) -> Operation {
    Operation::SetVersion { key: seen(ID), version, disabled }
}

pub(super) fn command(actor: Actor, action: Option<ActionKind>, operation: Operation) -> Command {
    Command { time_ns: 99, actor, action, file_names_admin: true, operation }
}

pub(super) fn on_key(action: KeyAction) -> Option<ActionKind> {
    Some(ActionKind::Key(action))
}

/// The versions of the one key `a`, under a ring whose version 2 is active, at the replicated time 100.
fn decided(command: &Command, versions: &[KeyRecord], rules: &Rules) -> (Outcome, Vec<Change>) {
    let (outcome, changes) = applied(&command.encode(1, RequestId([3; 16]), 0), versions, rules, &Memory::default());
    (outcome.known().expect("an outcome of this version"), changes)
}

pub(super) fn applied(
    command: &EncodedCommand,
    versions: &[KeyRecord],
    rules: &Rules,
    memory: &Memory,
) -> (RecordedOutcome, Vec<Change>) {
    applied_at(1, command, versions, rules, memory)
}

/// The same in a cluster with this active level.
pub(super) fn applied_at(
    level: u32,
    command: &EncodedCommand,
    versions: &[KeyRecord],
    rules: &Rules,
    memory: &Memory,
) -> (RecordedOutcome, Vec<Change>) {
    let cluster = ClusterState {
        id: ClusterId([0; 16]),
        incarnation: IncarnationId([0; 16]),
        secrets: no_secrets(),
        level,
        ring: Vec::new(),
        active_ring_version: 2,
        time_ns: 100,
        created_at: None,
        seals: Vec::new(),
        last_ring_version: 0,
        ring_notes: Vec::new(),
    };
    let record = |name: &str, version: Option<u32>| match version {
        _ if name != "a" => None,
        None => versions.last().cloned(),
        Some(version) => versions.iter().find(|record| record.version == version).cloned(),
    };
    let current =
        Current { cluster: Some(&cluster), rules, record: &record, memory, members: &Vec::new, records_under: &|_| 0 };
    apply(command, current)
}

#[test]
fn each_command_on_a_key_has_the_outcome_that_the_state_before_it_asks_for() {
    let (making, importing, removing) =
        (on_key(KeyAction::Create), on_key(KeyAction::Import), on_key(KeyAction::Delete));
    let (rotating, disabling) = (on_key(KeyAction::Rotate), on_key(KeyAction::Disable));
    let (enabling, restoring, purging) =
        (on_key(KeyAction::Enable), on_key(KeyAction::Restore), on_key(KeyAction::Purge));
    let other = CreationId([8; 16]);
    let none = || vec![];
    let one = || vec![record(1, 2, 110)];
    let two = || vec![record(1, 2, 110), record(2, 2, 110)];
    let waiting = |delete_at| vec![KeyRecord { delete_at: Some(delete_at), ..record(1, 2, 110) }];
    let full = || vec![record(MAX_VERSIONS, 2, 110)];
    let disabled: Bytes = KeyRecord { disabled: true, ..record(1, 2, 110) }.encode().into();
    let table = [
        (ADMIN, making, create(2, 110), none(), Outcome::Done),
        (ADMIN, importing, create(2, 110), none(), Outcome::Done),
        (Actor::Node, making, create(2, 110), none(), Outcome::Done),
        (ADMIN, making, create(2, 110), one(), Outcome::KeyExists),
        (ADMIN, making, create(2, 110), waiting(500), Outcome::KeyWaiting),
        (ADMIN, making, create(1, 110), none(), Outcome::RingInactive),
        (ADMIN, making, create(2, MAX_RECORD_BYTES), none(), Outcome::Malformed),
        (ADMIN, making, Operation::CreateKey { name: "a".to_owned(), record: disabled }, none(), Outcome::Malformed),
        (STRANGER, making, create(2, 110), none(), Outcome::Denied),
        (ADMIN, None, create(2, 110), none(), Outcome::Denied),
        (Actor::Node, None, create(2, 110), none(), Outcome::Denied),
        (ADMIN, removing, create(2, 110), none(), Outcome::Denied),
        (ADMIN, removing, delete(ID), one(), Outcome::Done),
        (ADMIN, removing, delete(ID), waiting(500), Outcome::KeyNotFound),
        (ADMIN, removing, delete(other), one(), Outcome::KeyNotFound),
        (ADMIN, removing, delete(ID), none(), Outcome::KeyNotFound),
        (Actor::Node, removing, delete(ID), one(), Outcome::Denied),
        (ADMIN, rotating, rotate(2), one(), Outcome::Done),
        (ADMIN, rotating, rotate(2), two(), Outcome::VersionTaken),
        (ADMIN, rotating, rotate(4), two(), Outcome::VersionTaken),
        (ADMIN, rotating, rotate(2), none(), Outcome::KeyNotFound),
        (ADMIN, rotating, rotate(2), waiting(500), Outcome::KeyNotFound),
        (ADMIN, rotating, rotate(MAX_VERSIONS + 1), full(), Outcome::TooManyVersions),
        (ADMIN, making, rotate(2), one(), Outcome::Denied),
        (ADMIN, disabling, set(1, true), two(), Outcome::Done),
        (ADMIN, disabling, set(2, true), two(), Outcome::VersionNewest),
        (ADMIN, disabling, set(3, true), two(), Outcome::VersionNotFound),
        (ADMIN, enabling, set(2, false), two(), Outcome::Done),
        (ADMIN, enabling, set(1, true), two(), Outcome::Denied),
        (ADMIN, disabling, set(1, false), two(), Outcome::Denied),
        (ADMIN, restoring, Operation::RestoreKey(seen(ID)), waiting(500), Outcome::Done),
        (ADMIN, restoring, Operation::RestoreKey(seen(other)), waiting(500), Outcome::NothingWaiting),
        (ADMIN, restoring, Operation::RestoreKey(seen(ID)), one(), Outcome::NothingWaiting),
        (ADMIN, purging, Operation::PurgeKey(seen(ID)), waiting(500), Outcome::Done),
        (ADMIN, purging, Operation::PurgeKey(seen(ID)), one(), Outcome::NothingWaiting),
        (Actor::Node, purging, Operation::PurgeKey(seen(ID)), waiting(101), Outcome::NothingWaiting),
        (Actor::Node, purging, Operation::PurgeKey(seen(ID)), waiting(100), Outcome::Done),
        (ADMIN, None, Operation::AdvanceTime { time_ns: 1 }, none(), Outcome::Denied),
        (ADMIN, None, Operation::RecordUse(Vec::new()), none(), Outcome::Denied),
        (ADMIN, None, Operation::RaiseLevel { to: 2 }, none(), Outcome::Denied),
        (Actor::Node, None, Operation::RaiseLevel { to: 1 }, none(), Outcome::LevelNotNext),
        (Actor::Node, None, Operation::RaiseLevel { to: 2 }, none(), Outcome::LevelNotNext),
    ];
    for (row, (actor, action, operation, versions, expected)) in table.into_iter().enumerate() {
        let (outcome, changes) = decided(&command(actor, action, operation), &versions, &Rules::default());
        assert_eq!(outcome, expected, "row {row}");
        assert_eq!(changes.is_empty(), outcome != Outcome::Done, "row {row}");
    }
}

fn the_record(changes: &[Change]) -> (KeyRecord, bool) {
    let [change @ Change::PutKey { record, .. }] = changes else { panic!("one record: {changes:?}") };
    (KeyRecord::decode(record).unwrap(), change.revokes())
}

#[test]
fn a_deleted_key_waits_in_replicated_time_and_comes_back_as_it_was() {
    let living = KeyRecord { last_used: Some(5), ..record(1, 2, 110) };
    let deletion = Operation::DeleteKey { key: seen(ID), window_ns: 50 };
    let (_, changes) =
        decided(&command(ADMIN, on_key(KeyAction::Delete), deletion), std::slice::from_ref(&living), &Rules::default());
    let (waiting, revokes) = the_record(&changes);
    assert_eq!((waiting.delete_at, revokes), (Some(150), true));
    let restoration = Operation::RestoreKey(seen(ID));
    let (_, changes) = decided(&command(ADMIN, on_key(KeyAction::Restore), restoration), &[waiting], &Rules::default());
    assert_eq!(the_record(&changes), (living, false));
}

#[test]
fn the_later_use_stays_and_moves_on_with_the_newest_version() {
    let used = |minute| Operation::RecordUse(vec![Use { key: seen(ID), minute }]);
    let noted = KeyRecord { last_used: Some(10), ..record(1, 2, 110) };
    let at =
        |minute| decided(&command(Actor::Node, None, used(minute)), std::slice::from_ref(&noted), &Rules::default());
    assert_eq!(at(10), (Outcome::Done, Vec::new()));
    assert_eq!(the_record(&at(11).1).0.last_used, Some(11));
    let twice = Operation::RecordUse([20, 15].map(|minute| Use { key: seen(ID), minute }).into());
    let (_, changes) = decided(&command(Actor::Node, None, twice), std::slice::from_ref(&noted), &Rules::default());
    assert_eq!(the_record(&changes).0.last_used, Some(20));
    let (_, changes) = decided(&command(ADMIN, on_key(KeyAction::Rotate), rotate(2)), &[noted], &Rules::default());
    let (rotated, _) = the_record(&changes);
    assert_eq!((rotated.version, rotated.last_used), (2, Some(10)));
}

#[test]
fn time_that_two_leaders_counted_is_counted_once() {
    let advance = |time_ns| {
        let command = command(Actor::Node, None, Operation::AdvanceTime { time_ns });
        match decided(&command, &[], &Rules::default()).1.as_slice() {
            [Change::SetCluster(cluster)] => Some(cluster.value.time_ns),
            _ => None,
        }
    };
    assert_eq!((advance(130), advance(100), advance(99)), (Some(130), None, None));
}

pub(super) fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

pub(super) fn bound(role: Role) -> Assignment {
    Assignment { role, author: Author::default() }
}

fn entry(policy: Policy) -> PolicyEntry {
    PolicyEntry { policy, author: Author::default(), tag: PolicyTag::default() }
}

/// `app` is bound to the policy `app`; `operator` may manage policies and identities; `admins` are admins.
fn rules(admins: &[Identity]) -> Rules {
    let policy = |patterns: &[&str]| {
        let allow: Vec<_> = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
        entry(Policy::new(allow, []))
    };
    let mut rules = Rules::default();
    rules.policies.insert(name("app"), policy(&["/v1/key/*"]).into());
    rules.policies.insert(name("operator"), policy(&["/v1/policy/*", "/v1/identity/*"]).into());
    rules.identities.insert(APP, bound(Role::Policy(name("app"))));
    rules.identities.insert(OPERATOR, bound(Role::Policy(name("operator"))));
    rules.identities.extend(admins.iter().map(|admin| (*admin, bound(Role::Admin))));
    rules
}

fn put_policy(text: &str, replaces: Replaces) -> AccessChange {
    AccessChange::PutPolicy { name: name(text), policy: Policy::default(), replaces }
}

fn assign(policy: &str, identity: Identity) -> AccessChange {
    AccessChange::AssignPolicy { policy: name(policy), identity }
}

fn create_identity(identity: Identity, role: Role) -> AccessChange {
    AccessChange::CreateIdentity { identity, role }
}

fn action_of(change: &AccessChange) -> Option<ActionKind> {
    Some(match change {
        AccessChange::PutPolicy { replaces: Replaces::Nothing, .. } => ActionKind::Policy(PolicyAction::Create),
        AccessChange::PutPolicy { .. } => ActionKind::Policy(PolicyAction::Write),
        AccessChange::DeletePolicy { .. } => ActionKind::Policy(PolicyAction::Delete),
        AccessChange::AssignPolicy { .. } => ActionKind::Policy(PolicyAction::Assign),
        AccessChange::CreateIdentity { .. } => ActionKind::Identity(IdentityAction::Create),
        AccessChange::DeleteIdentity { .. } => ActionKind::Identity(IdentityAction::Delete),
    })
}

#[test]
fn each_change_of_access_has_the_outcome_that_the_rules_before_it_ask_for() {
    let operator = Actor::Client { identity: OPERATOR, file_admin: false };
    let remove = |identity| AccessChange::DeleteIdentity { identity };
    let delete = |policy| AccessChange::DeletePolicy { name: name(policy) };
    let app = || Role::Policy(name("app"));
    let table = [
        (ADMIN, put_policy("new", Replaces::Nothing), Outcome::Done),
        (ADMIN, put_policy("app", Replaces::Nothing), Outcome::PolicyExists),
        (ADMIN, put_policy("app", Replaces::Only(PolicyTag([1; 32]))), Outcome::PolicyChanged),
        (ADMIN, put_policy("none", Replaces::Only(PolicyTag([1; 32]))), Outcome::PolicyChanged),
        (ADMIN, put_policy("app", Replaces::Only(PolicyTag::default())), Outcome::Done),
        (ADMIN, put_policy("app", Replaces::Anything), Outcome::Done),
        (operator, put_policy("new", Replaces::Anything), Outcome::Done),
        (STRANGER, put_policy("new", Replaces::Anything), Outcome::Denied),
        (ADMIN, delete("app"), Outcome::Done),
        (ADMIN, delete("none"), Outcome::PolicyNotFound),
        (ADMIN, assign("app", NOBODY), Outcome::Done),
        (ADMIN, assign("none", NOBODY), Outcome::PolicyNotFound),
        (operator, assign("app", OPERATOR), Outcome::Denied),
        (operator, assign("app", ROOT), Outcome::IdentityIsAdmin),
        (operator, create_identity(NOBODY, app()), Outcome::Done),
        (operator, create_identity(APP, app()), Outcome::IdentityExists),
        (operator, create_identity(NOBODY, Role::Policy(name("none"))), Outcome::PolicyNotFound),
        (operator, create_identity(NOBODY, Role::Admin), Outcome::Denied),
        (ADMIN, create_identity(NOBODY, Role::Admin), Outcome::Done),
        (operator, remove(APP), Outcome::Done),
        (operator, remove(NOBODY), Outcome::IdentityNotFound),
        (operator, remove(ROOT), Outcome::Denied),
        (ADMIN, remove(ROOT), Outcome::Done),
    ];
    for (row, (actor, change, expected)) in table.into_iter().enumerate() {
        let action = action_of(&change);
        let (outcome, changes) = decided(&command(actor, action, Operation::Access(change)), &[], &rules(&[ROOT]));
        assert_eq!(outcome, expected, "row {row}");
        assert!(changes.iter().all(Change::revokes), "row {row}");
    }
}

#[test]
fn a_deleted_policy_takes_its_assignments_with_it() {
    let change = || AccessChange::DeletePolicy { name: name("app") };
    let (_, changes) = decided(&command(ADMIN, action_of(&change()), Operation::Access(change())), &[], &rules(&[]));
    assert_eq!(changes, [Change::RemoveAssignment(APP), Change::RemovePolicy(name("app"))]);
}

#[test]
fn the_last_admin_stays_unless_a_file_names_one() {
    let other = Identity::from_bytes([9; 32]);
    let removal = || Operation::Access(AccessChange::DeleteIdentity { identity: ROOT });
    let action = Some(ActionKind::Identity(IdentityAction::Delete));
    let by_root = Actor::Client { identity: ROOT, file_admin: false };
    let remove = |file_names_admin, admins: &[Identity]| {
        let command = Command { file_names_admin, ..command(by_root, action, removal()) };
        decided(&command, &[], &rules(admins)).0
    };
    assert_eq!(remove(false, &[ROOT]), Outcome::LastAdmin);
    assert_eq!(remove(true, &[ROOT]), Outcome::Done);
    assert_eq!(remove(false, &[ROOT, other]), Outcome::Done);
}

#[test]
fn the_permission_is_checked_on_the_name_that_the_operation_changes() {
    let mut rules = rules(&[]);
    let client = Actor::Client { identity: APP, file_admin: false };
    for (pattern, outcome) in [
        ("/v1/key/create/a", Outcome::Done),
        ("/v1/key/create/b", Outcome::Denied),
        ("/v1/key/import/a", Outcome::Denied),
    ] {
        let policy = Policy::new([Pattern::parse(pattern).unwrap()], []);
        rules.policies.insert(name("app"), entry(policy).into());
        let command = command(client, on_key(KeyAction::Create), create(2, 110));
        assert_eq!(decided(&command, &[], &rules).0, outcome, "{pattern}");
    }
    let policy = Policy::new([Pattern::parse(&format!("/v1/identity/delete/{ROOT}")).unwrap()], []);
    rules.policies.insert(name("app"), entry(policy).into());
    for (identity, outcome) in [(ROOT, Outcome::IdentityNotFound), (OPERATOR, Outcome::Denied)] {
        let change = AccessChange::DeleteIdentity { identity };
        let command = command(client, action_of(&change), Operation::Access(change));
        assert_eq!(decided(&command, &[], &rules).0, outcome, "{identity}");
    }
}

/// The paths of the actions that lead to an operation, and whether a node may do it by itself for one of them.
fn paths_to(operation: &Operation) -> (&'static [&'static str], bool) {
    match operation {
        Operation::Init(_)
        | Operation::RecordUse(_)
        | Operation::AdvanceTime { .. }
        | Operation::RaiseLevel { .. }
        | Operation::Ring(_) => (&[], false),
        Operation::CreateKey { .. } => (&["/v1/key/create/", "/v1/key/import/"], true),
        Operation::RotateKey { .. } => (&["/v1/key/rotate/"], false),
        Operation::SetVersion { disabled: true, .. } => (&["/v1/key/disable/"], false),
        Operation::SetVersion { disabled: false, .. } => (&["/v1/key/enable/"], false),
        Operation::DeleteKey { .. } => (&["/v1/key/delete/"], false),
        Operation::RestoreKey(_) => (&["/v1/key/restore/"], false),
        Operation::PurgeKey(_) => (&["/v1/key/purge/"], true),
        Operation::Access(AccessChange::PutPolicy { replaces: Replaces::Nothing, .. }) => {
            (&["/v1/policy/create/"], false)
        }
        Operation::Access(AccessChange::PutPolicy { .. }) => (&["/v1/policy/write/"], false),
        Operation::Access(AccessChange::DeletePolicy { .. }) => (&["/v1/policy/delete/"], false),
        Operation::Access(AccessChange::AssignPolicy { .. }) => (&["/v1/policy/assign/"], false),
        Operation::Access(AccessChange::CreateIdentity { .. }) => (&["/v1/identity/create/"], false),
        Operation::Access(AccessChange::DeleteIdentity { .. }) => (&["/v1/identity/delete/"], false),
    }
}

/// A node can put any action into a command, so this tries all of them.
#[test]
fn only_its_own_actions_lead_to_an_operation() {
    let by_itself = |operation: &Operation| {
        use Operation::{AdvanceTime, RaiseLevel, RecordUse, Ring};
        matches!(operation, RecordUse(_) | AdvanceTime { .. } | RaiseLevel { .. } | Ring(_))
    };
    let more = [set(1, false), Operation::Access(put_policy("new", Replaces::Anything))];
    for operation in crate::state::every_operation().into_iter().chain(more) {
        let (paths, by_node) = paths_to(&operation);
        for action in ActionKind::all().map(Some).chain([None]) {
            let leads_there = action.is_some_and(|action| paths.contains(&action.path()));
            for (actor, permitted) in [
                (ADMIN, leads_there),
                (STRANGER, false),
                (Actor::Node, leads_there && by_node || action.is_none() && by_itself(&operation)),
            ] {
                let command = command(actor, action, operation.clone());
                let is_permitted = check_permission(&command, &Rules::default()).is_ok();
                assert_eq!(is_permitted, permitted, "{command:?}");
            }
        }
    }
}
