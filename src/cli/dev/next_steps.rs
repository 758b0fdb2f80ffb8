//! What `keyraft dev` prints for the user to paste next.

use std::path::{Path, PathBuf};

use super::layout::Layout;
use crate::cli::escape::quoted;
use crate::cli::output::{DIM, GOOD, STRONG, table};

/// The text once the nodes are up.
pub fn running(layout: &Layout, pids: &[u32]) -> String {
    let rows = layout.numbers().zip(pids).map(|(number, pid)| {
        let url = format!("https://{}", layout.api_address(number));
        [layout.node_name(number), url, pid.to_string(), layout.node_log(number).display().to_string()]
    });
    let nodes = table(["NODE", "API", "PID", "LOG"], rows);
    format!(
        "{GOOD}Keyraft is up.{GOOD:#}\n\n{nodes}\n\n{}\n\nCtrl-C drains and stops the nodes. Their data stays in {}.",
        next(layout),
        layout.dir().display()
    )
}

/// The text after `--prepare` has written the files.
pub fn prepared(layout: &Layout) -> String {
    let program = program();
    let starts =
        layout.numbers().map(|number| format!("  {program} server --config {}", path(&layout.node_config(number))));
    format!(
        "{GOOD}Prepared{GOOD:#} {}\n\nStart each node in a shell of its own:\n{}\n\n{}",
        layout.dir().display(),
        starts.collect::<Vec<_>>().join("\n"),
        next(layout)
    )
}

/// Commands that work as they stand, in this order, in a shell that has sourced the `env` file.
pub fn first_steps(layout: &Layout) -> Vec<String> {
    let (program, key) = (program(), &layout.origin().key_name);
    vec![format!("{program} key create {key}"), format!("{program} key dek {key}"), format!("{program} cluster status")]
}

/// Commands that make a first policy and an identity with it, and try them.
pub fn first_policy() -> Vec<String> {
    let program = program();
    vec![
        format!(
            "{program} policy create my-app --allow '/v1/key/create/my-app*' --allow '/v1/key/generate/my-app*' \
             --allow '/v1/key/decrypt/my-app*'"
        ),
        format!("APP_KEY=$({program} identity new --policy my-app --bare)"),
        format!("MINIO_KES_API_KEY=$APP_KEY {program} key create my-app-key"),
        format!("MINIO_KES_API_KEY=$APP_KEY {program} key dek my-app-key"),
        format!("MINIO_KES_API_KEY=$APP_KEY {program} identity info"),
    ]
}

fn next(layout: &Layout) -> String {
    let indented = |commands: Vec<String>| commands.join("\n  ");
    [
        format!("{STRONG}In another shell:{STRONG:#}"),
        format!("  source {}", path(&layout.environment())),
        String::new(),
        format!("  {}", indented(first_steps(layout))),
        String::new(),
        format!("{DIM}# a first policy, and an application that may do only what it allows{DIM:#}"),
        format!("  {}", indented(first_policy())),
        String::new(),
        format!("{DIM}# with curl{DIM:#}"),
        curl(layout),
        format!("{DIM}# with the command line of KES{DIM:#}"),
        format!("  SSL_CERT_FILE={} kes key ls", path(&layout.ca())),
        format!("{DIM}# MinIO reads MINIO_KMS_KES_* from the same file{DIM:#}"),
        "  minio server /path/to/data".to_owned(),
    ]
    .join("\n")
}

fn curl(layout: &Layout) -> String {
    let credentials = if layout.origin().config.is_some() {
        "--cert YOUR.crt --key YOUR.key".to_owned()
    } else {
        format!("--cert {} --key {}", path(&layout.admin_certificate()), path(&layout.admin_key()))
    };
    let url = format!("https://{}/v1/key/create/my-key", layout.api_address(1));
    format!("  curl --cacert {} {credentials} -X PUT {url}", path(&layout.ca()))
}

/// How to call this program from any shell: by name if `PATH` leads to it, and else by its path.
fn program() -> String {
    let Ok(this) = std::env::current_exe().and_then(std::fs::canonicalize) else { return "keyraft".to_owned() };
    let search = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&search).map(|dir| dir.join("keyraft")).find(|found| found.is_file());
    if first.and_then(|found: PathBuf| found.canonicalize().ok()).as_ref() == Some(&this) {
        "keyraft".to_owned()
    } else {
        path(&this)
    }
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}
