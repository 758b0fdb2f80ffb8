//! A shell whose variables name the cluster and the caller.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::processes::Processes;

const KEYRAFT: &str = env!("CARGO_BIN_EXE_keyraft");

/// The variables of a shell.
#[derive(Clone)]
pub struct Shell {
    variables: Vec<(String, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub error: String,
}

impl Shell {
    /// The folder that `dev` made.
    pub fn folder(cluster: &Processes) -> PathBuf {
        cluster.data(0).ancestors().nth(2).expect("data lies in the node's folder").to_owned()
    }

    /// The shell of the cluster's admin, as `dev` has it sourced.
    pub fn of(cluster: &Processes) -> Self {
        let text = fs::read_to_string(Self::folder(cluster).join("env")).expect("`dev` writes it");
        let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let variables = exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect();
        Self { variables }
    }

    /// The shell of somebody without a key, for a server that does not exist.
    pub fn of_nobody() -> Self {
        Self { variables: vec![("MINIO_KES_SERVER".to_owned(), "127.0.0.1:1".to_owned())] }
    }

    /// The shell with one variable changed.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut shell = self.clone();
        shell.variables.retain(|(other, _)| other != name);
        shell.variables.push((name.to_owned(), value.to_owned()));
        shell
    }

    /// The address of the first node.
    pub fn server(&self) -> String {
        self.server_at(0)
    }

    /// The address of a node.
    pub fn server_at(&self, number: usize) -> String {
        let all = self.variable("MINIO_KES_SERVER");
        all.split(',').nth(number).expect("there are three").to_owned()
    }

    /// A variable that `dev` writes.
    pub fn variable(&self, name: &str) -> &str {
        let (_, value) = self.variables.iter().find(|(other, _)| other == name).expect("`dev` writes it");
        value
    }

    /// Runs a script, in which `keyraft` is the built binary.
    pub fn script(&self, text: &str) -> Ended {
        self.script_of("sh", text)
    }

    /// Runs a script in this shell program.
    pub fn script_of(&self, program: &str, text: &str) -> Ended {
        let own = Path::new(KEYRAFT).parent().expect("the binary lies in a folder");
        let system = std::env::var("PATH").unwrap_or_default();
        let path = ("PATH".to_owned(), format!("{}:{system}", own.display()));
        Self { variables: [&self.variables[..], &[path]].concat() }.start(program, &["-c", text], "")
    }

    /// Runs `keyraft` with these words.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_with_input(words, "")
    }

    /// Runs `keyraft` with this standard input.
    pub fn run_with_input(&self, words: &[&str], input: &str) -> Ended {
        self.start(KEYRAFT, words, input)
    }

    /// Starts `keyraft` and does not wait for it.
    pub fn begin(&self, words: &[&str]) -> Child {
        self.command(KEYRAFT, words).spawn().expect("the binary runs")
    }

    fn start(&self, program: &str, words: &[&str], input: &str) -> Ended {
        let mut child = self.command(program, words).spawn().expect("the program runs");
        // This fails if the command does not read its input and has ended.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let ended = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Ended { code: ended.status.code().expect("it exits"), output: text(ended.stdout), error: text(ended.stderr) }
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env_clear().envs(self.variables.clone());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `keyraft`, which must succeed. Returns the JSON that it prints, or null.
    pub fn json(&self, words: &[&str]) -> Value {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "keyraft {}: {ended:?}", words.join(" "));
        serde_json::from_str(ended.output.lines().last().unwrap_or("null")).expect("it prints JSON")
    }

    /// A new identity with this policy, and its shell.
    pub fn someone(&self, role: &[&str]) -> (String, Self) {
        let made = self.json(&[&["identity", "new"], role].concat());
        let text = |field: &str| made[field].as_str().expect("it is printed").to_owned();
        (text("identity"), self.with("MINIO_KES_API_KEY", &text("api_key")))
    }
}
