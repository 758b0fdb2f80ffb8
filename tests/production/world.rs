//! The machines of the page, all of them on this one.
//!
//! Each machine is a folder with its files. With namespaces a block sees these at `/etc`, `/var/lib`, `/var/log` and
//! `/usr/local`, and the machines have the addresses of the page in a network of their own. Where the system does not
//! allow namespaces, the paths and addresses in the blocks are replaced by others that this test may use.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::document::Block;

/// The repository.
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
/// The stand-ins for commands that would need another machine or systemd.
const STAND_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/production/stand-ins");
/// A block that takes longer, in seconds, hangs.
const PATIENCE_S: &str = "180";

/// The machines of the page, with the DNS names and addresses that step 1 of the page gives them.
pub const MACHINES: [(&str, &str, &str); 5] = [
    ("admin", "admin.example.com", "10.0.0.9"),
    ("kms-1", "kms-1.example.com", "10.0.0.1"),
    ("kms-2", "kms-2.example.com", "10.0.0.2"),
    ("kms-3", "kms-3.example.com", "10.0.0.3"),
    ("minio-1", "minio-1.example.com", "10.0.0.4"),
];
/// The folders that each machine has for itself.
const FOLDERS: [&str; 4] = ["etc", "var/lib", "var/log", "usr/local"];

/// What the system lets this test do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Namespaces as root: the nodes run as users of their own.
    Root,
    /// Namespaces of a user: every process runs as that user.
    User,
    /// No namespaces.
    Neither,
}

/// All machines. Dropping this ends what runs on them.
pub struct World {
    folder: TempDir,
    means: Means,
}

impl Means {
    /// How to enter namespaces with a network of their own, in which every process ends with the first one.
    pub fn enter(self) -> Option<Command> {
        let flags: &[&str] = match self {
            Self::Root => &[],
            Self::User => &["--user", "--map-root-user"],
            Self::Neither => return None,
        };
        let mut command = Command::new("unshare");
        command.args(flags).args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--"]);
        Some(command)
    }

    /// Whether the system allows them, and has the commands that they take.
    pub fn work(self) -> bool {
        let Some(mut enter) = self.enter() else { return true };
        let is_root = rustix::process::geteuid().is_root();
        let probe = "ip link set lo up && ip address add 10.0.0.1/32 dev lo && \
                     unshare --mount mount --bind /usr/local /usr/local";
        (self == Self::User || is_root)
            && enter.args(["bash", "-c", probe]).output().is_ok_and(|output| output.status.success())
    }
}

impl World {
    /// Makes the machines. With namespaces, the caller has entered them.
    pub fn make(means: Means) -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a folder can be made"), means };
        // The user of a node must be able to reach what is bound from here.
        fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let hosts = MACHINES.map(|(name, host, _)| format!("{} {host} {name}\n", world.address(name)));
        fs::write(world.folder.path().join("hosts"), hosts.concat()).expect("the folder is writable");
        if means != Means::Neither {
            let addresses = MACHINES.map(|(_, _, address)| format!("ip address add {address}/32 dev lo\n"));
            run(Command::new("bash").args(["-ec", &format!("ip link set lo up\n{}", addresses.concat())]));
        }
        for (name, ..) in MACHINES {
            world.make_machine(name);
        }
        world.put_source();
        let minio = "useradd --system minio-user\nmkdir -p /etc/default\ntouch /etc/default/minio\n";
        world.run_on("minio-1", minio).expect("the machine has a user for MinIO");
        world
    }

    /// Runs a block on its machines.
    ///
    /// # Errors
    /// A command of the block failed, or the block did not end in time.
    pub fn run(&self, block: &Block) -> Result<(), String> {
        block.machines.iter().try_for_each(|machine| {
            let place = format!("docs/production.md, line {}, on {machine}:\n{}", block.line, block.text);
            let printed = self.run_on(machine, &block.text).map_err(|printed| format!("{place}\n{printed}"))?;
            println!("{place}\n{printed}");
            Ok(())
        })
    }

    /// Runs commands on a machine, and returns what they print.
    ///
    /// # Errors
    /// A command failed, or the commands did not end in time.
    pub fn run_on(&self, machine: &str, text: &str) -> Result<String, String> {
        let block = self.machine(machine).join("block");
        fs::write(&block, self.rewritten(machine, text)).expect("the folder is writable");
        let mut command = Command::new("timeout");
        command.arg(PATIENCE_S);
        if self.means != Means::Neither {
            command.args(["unshare", "--mount"]);
        }
        command.args(["bash", &format!("{STAND_INS}/run-block")]).arg(block);
        command.env_clear().envs(self.variables(machine)).stdin(Stdio::null());
        let output = command.output().expect("bash is there");
        if output.status.success() { Ok(printed(&output)) } else { Err(printed(&output)) }
    }

    /// The file with this path on a machine.
    pub fn file(&self, machine: &str, path: &str) -> PathBuf {
        let folder = self.machine(machine);
        // Without namespaces, texts of the machine name the folder as well.
        let path = Path::new(path).strip_prefix(&folder).unwrap_or(Path::new(path.trim_start_matches('/')));
        folder.join(path)
    }

    /// The address of the machine with this DNS name or address.
    pub fn address_of(&self, host: &str) -> String {
        let found = MACHINES.iter().find(|(name, dns, _)| *dns == host || self.address(name) == host);
        self.address(found.unwrap_or_else(|| panic!("{host} is not a machine of this test")).0)
    }

    /// What the node on this machine logged.
    pub fn journal(&self, machine: &str) -> String {
        fs::read_to_string(self.machine(machine).join("journal")).unwrap_or_default()
    }

    fn make_machine(&self, name: &str) {
        let folder = self.machine(name);
        for path in FOLDERS.iter().chain(&["usr/local/bin", "etc/systemd/system", "root"]) {
            fs::create_dir_all(folder.join(path)).expect("the folder is writable");
        }
        if self.means == Means::Neither {
            return;
        }
        // What a user cannot read, the blocks do not need either.
        let copied = Command::new("cp").args(["-a", "/etc/.", &folder.join("etc").to_string_lossy()]).output();
        copied.expect("cp is there");
        let forget = "rm -rf etc/keyraft etc/minio etc/default/minio etc/systemd/system/keyraft.service\n\
                      sed -i '/^\\(keyraft\\|minio-user\\):/d' $(ls etc/passwd etc/group etc/shadow etc/gshadow)";
        // A user cannot change every copy. Then the blocks do not make users either.
        let _ = Command::new("sh").args(["-c", forget]).current_dir(&folder).output();
        let hosts = MACHINES.map(|(_, host, address)| format!("{address} {host}\n"));
        let hosts = format!("127.0.0.1 localhost\n{}", hosts.concat());
        fs::write(folder.join("etc/hosts"), hosts).expect("the copy is ours");
    }

    /// Puts what the page takes from the source folder into the home of the admin.
    fn put_source(&self) {
        let source = self.machine("admin").join("root/keyraft");
        for folder in ["target/release", "deploy"] {
            fs::create_dir_all(source.join(folder)).expect("the folder is writable");
        }
        let (built, program) = (Path::new(env!("CARGO_BIN_EXE_keyraft")), source.join("target/release/keyraft"));
        // The blocks copy the program several times.
        let stripped = Command::new("strip").arg("-o").arg(&program).arg(built).output();
        if !stripped.is_ok_and(|output| output.status.success()) {
            symlink(built, program).expect("the folder is writable");
        }
        let unit =
            fs::read_to_string(Path::new(SOURCE).join("deploy/keyraft.service")).expect("it is in the repository");
        fs::write(source.join("deploy/keyraft.service"), self.rewritten("admin", &unit))
            .expect("the folder is writable");
        let shell = format!("cd '{}'\n", source.display());
        fs::write(self.machine("admin").join("shell"), shell).expect("the folder is writable");
    }

    fn variables(&self, machine: &str) -> Vec<(&'static str, String)> {
        let folder = self.machine(machine);
        let at = |path: &str| folder.join(path).display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut variables = vec![("MACHINE", folder.display().to_string()), ("HOME", at("root"))];
        let own = if self.means == Means::Neither { at("usr/local/bin") } else { "/usr/local/bin".to_owned() };
        let mut stand_ins = STAND_INS.to_owned();
        if self.means != Means::Root {
            variables.push(("WITHOUT_ROOT", "1".to_owned()));
            stand_ins = format!("{STAND_INS}/without-root:{STAND_INS}");
        }
        if self.means == Means::Neither {
            variables.push(("WITHOUT_NAMESPACES", "1".to_owned()));
        }
        variables.push(("PATH", format!("{stand_ins}:{own}:/usr/sbin:/usr/bin:/sbin:/bin:{path}")));
        variables
    }

    /// The text as this machine can run it: without namespaces, with other paths and addresses.
    fn rewritten(&self, machine: &str, text: &str) -> String {
        if self.means != Means::Neither {
            return text.to_owned();
        }
        let folder = self.machine(machine);
        let mut text = text.to_owned();
        for path in FOLDERS {
            text = text.replace(&format!("/{path}/"), &format!("{}/{path}/", folder.display()));
        }
        for (name, host, address) in MACHINES {
            text = text.replace(host, &self.address(name)).replace(address, &self.address(name));
        }
        text
    }

    /// The address at which a machine listens. Without namespaces, each run of this test has other ones.
    fn address(&self, name: &str) -> String {
        let number = MACHINES.iter().position(|(other, ..)| *other == name).expect("it is a machine of the page");
        let pid = std::process::id();
        match self.means {
            Means::Neither => format!("127.{}.{}.{}", 100 + pid / 250 % 100, 1 + pid % 250, 10 + number),
            _ => MACHINES[number].2.to_owned(),
        }
    }

    fn machine(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (name, ..) in MACHINES {
            if std::thread::panicking() && name.starts_with("kms") {
                println!("{name}:\n{}", self.journal(name));
            }
            let ended = self.machine(name).join("exit").exists();
            let pid = fs::read_to_string(self.machine(name).join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
            if let Some(pid) = pid.and_then(Pid::from_raw).filter(|_| !ended) {
                // The process may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", printed(&output));
}

/// What a process printed.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
