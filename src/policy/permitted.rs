//! A type for each action that an operation needs a permit for, so that the permit of another action does not compile.

use thiserror::Error;

use super::action::{ActionKind, BadName, IdentityAction, KeyAction, LogAction, PolicyAction};
use super::{Identity, IdentityError, KeyName, NameKind, PolicyName, Prefix};

/// An action as a type.
pub trait PermittedAction {
    /// The same as a value.
    const KIND: ActionKind;
    /// What it is done to.
    type Target<'a>: Target<'a>;
}

/// An action that a node also does by itself: it creates the keys of its configuration file, and purges deleted keys
/// whose time has come.
pub trait NodeAction: PermittedAction {}

impl NodeAction for CreateKey {}
impl NodeAction for PurgeKey {}

/// What an action is done to, by its name in the path.
pub trait Target<'a>: Sized {
    /// Reads the name.
    ///
    /// # Errors
    /// It is not the name of such a thing.
    fn of_name(name: &'a str) -> Result<Self, PermitError>;
}

/// Why an allowed action does not give the permit that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PermitError {
    /// The policy check allowed another action.
    #[error("another action is allowed")]
    OtherAction,
    /// The name breaks the grammar.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No certificate can have this identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Declares a type for each action of one kind.
macro_rules! actions {
    ($target:ty: $($name:ident = $kind:ident($action:ident::$variant:ident),)+) => {$(
        #[doc = concat!("`", stringify!($action), "::", stringify!($variant), "` as a type.")]
        #[derive(Debug)]
        pub enum $name {}

        impl PermittedAction for $name {
            const KIND: ActionKind = ActionKind::$kind($action::$variant);
            type Target<'a> = $target;
        }
    )+};
}

actions! {
    KeyName<'a>:
    CreateKey = Key(KeyAction::Create),
    ImportKey = Key(KeyAction::Import),
    DescribeKey = Key(KeyAction::Describe),
    DeleteKey = Key(KeyAction::Delete),
    Generate = Key(KeyAction::Generate),
    Encrypt = Key(KeyAction::Encrypt),
    Decrypt = Key(KeyAction::Decrypt),
    BulkDecrypt = Key(KeyAction::BulkDecrypt),
    Hmac = Key(KeyAction::Hmac),
    RotateKey = Key(KeyAction::Rotate),
    ListVersions = Key(KeyAction::Versions),
    DisableVersion = Key(KeyAction::Disable),
    EnableVersion = Key(KeyAction::Enable),
    RestoreKey = Key(KeyAction::Restore),
    PurgeKey = Key(KeyAction::Purge),
}

actions! {
    Prefix<'a>:
    ListKeys = Key(KeyAction::List),
    ListPolicies = Policy(PolicyAction::List),
    ListIdentities = Identity(IdentityAction::List),
}

actions! {
    PolicyName:
    DescribePolicy = Policy(PolicyAction::Describe),
    ReadPolicy = Policy(PolicyAction::Read),
    CreatePolicy = Policy(PolicyAction::Create),
    WritePolicy = Policy(PolicyAction::Write),
    AssignPolicy = Policy(PolicyAction::Assign),
    DeletePolicy = Policy(PolicyAction::Delete),
}

actions! {
    Identity:
    CreateIdentity = Identity(IdentityAction::Create),
}

actions! {
    Option<Identity>:
    DescribeIdentity = Identity(IdentityAction::Describe),
    DeleteIdentity = Identity(IdentityAction::Delete),
}

actions! {
    ():
    ReadAuditLog = Log(LogAction::Audit),
    ReadErrorLog = Log(LogAction::Error),
}

impl<'a> Target<'a> for KeyName<'a> {
    fn of_name(name: &'a str) -> Result<Self, PermitError> {
        Ok(KeyName::parse(name).map_err(BadName::from)?)
    }
}

impl<'a> Target<'a> for Prefix<'a> {
    fn of_name(name: &'a str) -> Result<Self, PermitError> {
        Ok(Prefix::parse(name).map_err(BadName::from)?)
    }
}

impl Target<'_> for PolicyName {
    fn of_name(name: &str) -> Result<Self, PermitError> {
        Ok(Self::parse(name).map_err(BadName::from)?)
    }
}

impl Target<'_> for Identity {
    fn of_name(name: &str) -> Result<Self, PermitError> {
        NameKind::Identity.check(name).map_err(BadName::from)?;
        Ok(name.parse()?)
    }
}

/// `None` is a valid name that no certificate has, so nobody knows such an identity.
impl Target<'_> for Option<Identity> {
    fn of_name(name: &str) -> Result<Self, PermitError> {
        NameKind::Identity.check(name).map_err(BadName::from)?;
        Ok(name.parse().ok())
    }
}

impl Target<'_> for () {
    fn of_name(_: &str) -> Result<Self, PermitError> {
        Ok(())
    }
}
