//! The shapes of the API's answers (wire contract, "Endpoints"). Fields that a server leaves out are empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// `GET /version`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The server's version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: String,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// The operating system, by its Go name.
    pub os: String,
    /// The processor architecture, by its Go name.
    pub arch: String,
    /// Seconds since the server started.
    pub uptime: u64,
    /// How many processors the machine has.
    pub num_cpu: u64,
    /// How many processors the server uses.
    pub num_cpu_used: u64,
    /// Bytes on the heap.
    pub mem_heap_used: u64,
    /// Bytes of stack.
    pub mem_stack_used: u64,
    /// How long the keystore takes to answer, in nanoseconds.
    pub keystore_latency: u64,
    /// Whether the keystore cannot be reached.
    pub keystore_unreachable: bool,
    /// Whether the keystore cannot be used.
    pub keystore_unavailable: bool,
}

/// One route in `GET /v1/api`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiRoute {
    /// The HTTP method.
    pub method: String,
    /// The path. It ends in a slash if a name follows.
    pub path: String,
    /// The largest body in bytes.
    pub max_body: i64,
    /// The timeout in seconds; 0 if the route has no timeout.
    pub timeout: i64,
}

/// `GET /v1/key/describe/NAME`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyEntry {
    /// Its name.
    pub name: String,
    /// Its cipher.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub algorithm: String,
    /// When it was created, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// Who created it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
}

/// `GET /v1/key/versions/NAME`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyVersions {
    /// Every version, the oldest first.
    pub versions: Vec<KeyVersion>,
    /// About when a version was last used, in RFC 3339; empty if the server does not know.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_used: String,
}

/// One version of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyVersion {
    /// `v1`, `v2` …
    pub version: String,
    /// When it was created, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// Who created it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// `enabled` or `disabled`.
    pub state: String,
}

/// A data key, in the clear and encrypted.
#[derive(Debug)]
pub struct DataKey {
    /// The key itself.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The same key, encrypted under the named key.
    pub ciphertext: Vec<u8>,
}

/// A policy and its origin. `describe` leaves the patterns out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// Patterns of the paths that it allows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, serde_json::Value>,
    /// Patterns of the paths that it denies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deny: BTreeMap<String, serde_json::Value>,
    /// When it was created, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// Who created it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
}

/// `GET /v1/identity/describe/IDENTITY`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityEntry {
    /// Its policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Whether it is an admin.
    pub admin: bool,
    /// When it was assigned, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// Who assigned it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
}

/// `GET /v1/identity/self/describe`: who the client is, and what it may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfEntry {
    /// Its identity.
    pub identity: String,
    /// Whether it is an admin.
    pub admin: bool,
    /// When it was assigned, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// Who assigned it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Its policy's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Patterns of the paths that it allows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, serde_json::Value>,
    /// Patterns of the paths that it denies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deny: BTreeMap<String, serde_json::Value>,
}

/// `GET /v1/cluster/status`, and the same from a node's local socket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterStatus {
    /// The cluster's id in hexadecimal.
    pub cluster_id: Option<String>,
    /// The node that answers.
    pub node: NodeStatus,
    /// The node's state, which a node that does not serve yet sends outside of `node`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why the node is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The feature level that is active in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    /// The leader's id.
    pub leader: Option<u64>,
    /// The current term.
    pub term: Option<u64>,
    /// The index of the last committed entry.
    pub committed: Option<u64>,
    /// The index of the last applied entry.
    pub applied: Option<u64>,
    /// The digest of the applied state, in hexadecimal.
    pub digest: Option<String>,
    /// What the node waits for. Only its local socket reports this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<Vec<String>>,
    /// Every member.
    pub members: Vec<MemberStatus>,
    /// Fields that newer servers add.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// The node that answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its id.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The feature levels that it can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<LevelRange>,
    /// Its state.
    pub state: String,
    /// Why it does not serve. Only its local socket reports this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The public key that checks the signatures in its audit file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_key: Option<String>,
    /// Fields that newer servers add.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// A member of the cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberStatus {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// The `host:port` of its API.
    pub address: String,
    /// The `host:port` of its peer listener.
    pub peer_address: String,
    /// The version that it said it runs when it last connected with the node that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The feature levels that it can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<LevelRange>,
    /// How many entries it lacks, if that is known.
    pub lag: Option<u64>,
    /// Milliseconds since the leader heard from it. Only the leader reports this, and only of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<u64>,
    /// Whether its disk lacks room. Only the leader reports this of others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lacks_room: bool,
    /// The problem between it and the node that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<MemberProblem>,
    /// Fields that newer servers add.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// The feature levels that a node can read: these two, and all between them.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LevelRange {
    /// The lowest level.
    pub lowest: u32,
    /// The highest level.
    pub highest: u32,
}

/// A problem between a member and the node that answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberProblem {
    /// The problem, in words that follow the member's name.
    pub reason: String,
    /// How long it has lasted, in milliseconds.
    pub for_ms: u64,
    /// Fields that newer servers add.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl ClusterStatus {
    /// The state of the node that answers, from whichever field has it.
    pub fn state(&self) -> &str {
        self.state.as_deref().unwrap_or(if self.node.state.is_empty() { "unknown" } else { &self.node.state })
    }
}
