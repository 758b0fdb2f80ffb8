//! What can be done, without to what.

/// What is done, without what it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// To a key, or listing keys.
    Key(KeyAction),
    /// To a policy, or listing policies.
    Policy(PolicyAction),
    /// To an identity, or listing identities.
    Identity(IdentityAction),
    /// To a log.
    Log(LogAction),
    /// To the cluster.
    Cluster(ClusterAction),
    /// To the node that answers.
    System(SystemAction),
}

/// What can be done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAction {
    /// Makes a key with random material.
    Create,
    /// Makes a key from material that the client sends.
    Import,
    /// Reads the cipher and the origin.
    Describe,
    /// Deletes a key with all its versions.
    Delete,
    /// Lists names.
    List,
    /// Makes a data key.
    Generate,
    /// Encrypts a plaintext.
    Encrypt,
    /// Decrypts a ciphertext.
    Decrypt,
    /// Decrypts many ciphertexts.
    BulkDecrypt,
    /// Computes the HMAC of a message.
    Hmac,
    /// Makes a new version.
    Rotate,
    /// Lists versions.
    Versions,
    /// Disables a version.
    Disable,
    /// Enables a disabled version.
    Enable,
    /// Restores a deleted key within its deletion window.
    Restore,
    /// Removes a deleted key before its deletion window ends.
    Purge,
}

/// What can be done to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyAction {
    /// Reads the origin.
    Describe,
    /// Reads the patterns and the origin.
    Read,
    /// Lists names.
    List,
    /// Makes a policy.
    Create,
    /// Makes or replaces a policy.
    Write,
    /// Assigns it to an identity.
    Assign,
    /// Deletes a policy with its assignments.
    Delete,
}

/// What can be done to an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityAction {
    /// Reads the role and the origin.
    Describe,
    /// Reads the client's own role and policy.
    DescribeSelf,
    /// Lists identities.
    List,
    /// Gives an unknown identity a role.
    Create,
    /// Takes the role away.
    Delete,
}

/// Logs that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogAction {
    /// Reads a record of every request.
    Audit,
    /// Reads the errors of the node.
    Error,
}

/// What the cluster shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClusterAction {
    /// The cluster as this node sees it.
    Status,
    /// Metrics of Raft and storage.
    Metrics,
}

/// What a node shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SystemAction {
    /// Version and commit.
    Version,
    /// Whether it can serve.
    Ready,
    /// Figures of the process and the keystore.
    Status,
    /// The route table.
    Api,
    /// The OpenAPI description.
    OpenApi,
    /// The metrics that KES has.
    Metrics,
}

/// Makes the actions of each kind into any action.
macro_rules! into_action_kind {
    ($($variant:ident($action:ident),)+) => {$(
        impl From<$action> for ActionKind {
            fn from(action: $action) -> Self {
                Self::$variant(action)
            }
        }
    )+};
}

into_action_kind! {
    Key(KeyAction),
    Policy(PolicyAction),
    Identity(IdentityAction),
    Log(LogAction),
    Cluster(ClusterAction),
    System(SystemAction),
}
