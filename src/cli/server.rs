//! `keyraft server`: runs one node.

use std::path::PathBuf;

use clap::ArgAction;
use clap::builder::NonEmptyStringValueParser;

use super::Error;
use crate::config::Override;
use crate::node;

/// Run one node
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file of the node (YAML)
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    retired: FlagsWithoutEffect,
}

/// The options of `kes server` that replace settings of the file.
#[derive(clap::Args)]
struct Overrides {
    /// Where the API listens, in place of `address` in the file
    #[arg(long, value_name = "IP:PORT", value_parser = NonEmptyStringValueParser::new())]
    addr: Option<String>,
    /// Private key of the API, in place of `tls.key`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// Certificate of the API, in place of `tls.cert`
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    cert: Option<String>,
    /// Whether client certificates must chain to a trusted root, in place of `tls.auth`
    #[arg(long, value_name = "on|off", value_parser = NonEmptyStringValueParser::new())]
    auth: Option<String>,
}

/// Flags of `kes server` that have no effect in Keyraft. Each is an error that says what to do instead.
#[derive(clap::Args)]
struct FlagsWithoutEffect {
    #[arg(long, hide = true)]
    root: Option<String>,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    mlock: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    dev: bool,
    #[arg(long, hide = true)]
    enclave: Option<String>,
    #[arg(long, hide = true)]
    port: Option<String>,
    #[arg(short, long, hide = true, action = ArgAction::SetTrue)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyraft server --config config.yml
  keyraft server --config server-config.yaml --auth=off --addr 0.0.0.0:7373
  keyraft dev --prepare && keyraft server --config keyraft-dev/node-1/config.yml

Signals:
  SIGHUP            reads the configuration again
  SIGTERM, SIGINT   finishes requests in flight, hands over leadership and ends";

/// Runs a node until a signal stops it.
pub fn run(args: &Args) -> Result<(), Error> {
    args.retired.refuse()?;
    let config = args.config.as_ref().expect("the command line has --config, or --dev, which was just refused");
    node::run(config, &args.overrides.list()).map_err(Error::Node)
}

impl Overrides {
    fn list(&self) -> Vec<Override> {
        let all = [
            ("--addr", "address", &self.addr),
            ("--key", "tls.key", &self.key),
            ("--cert", "tls.cert", &self.cert),
            ("--auth", "tls.auth", &self.auth),
        ];
        let given =
            |(flag, setting, value): (_, _, &Option<String>)| Some(Override { flag, setting, value: value.clone()? });
        all.into_iter().filter_map(given).collect()
    }
}

impl FlagsWithoutEffect {
    fn refuse(&self) -> Result<(), Error> {
        let all = [
            ("--root", self.root.is_some(), "write the identity into the file instead: `admin: {identity: …}`"),
            (
                "--mlock",
                self.mlock,
                "leave it out: to keep keys out of swap, turn swap off for this process, as with `MemorySwapMax=0` in \
                 its systemd unit",
            ),
            ("--dev", self.dev, "run `keyraft dev` instead, which makes and runs a test cluster on this machine"),
            ("--enclave", self.enclave.is_some(), "leave it out: Keyraft does not have enclaves"),
            ("--quiet", self.quiet, "leave it out: `log: {level: error}` in the file keeps the log short"),
            ("--port", self.port.is_some(), "write --addr 0.0.0.0:PORT instead"),
        ];
        match all.into_iter().find(|(_, given, _)| *given) {
            Some((flag, _, reason)) => Err(Error::Setting { name: flag.to_owned(), reason: reason.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read(line: &str) -> Args {
        Line::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn the_flags_of_kes_replace_settings() {
        // The arguments of the MinIO Operator.
        let args = read("server --config=server-config.yaml --auth=off");
        let auth = Override { flag: "--auth", setting: "tls.auth", value: "off".to_owned() };
        assert_eq!(args.overrides.list(), [auth]);
        let all = read("server --config c --addr :1 --key k --cert=c --auth on").overrides.list();
        let settings: Vec<_> = all.iter().map(|given| given.setting).collect();
        assert_eq!(settings, ["address", "tls.key", "tls.cert", "tls.auth"]);
        assert!(Line::try_parse_from(["server", "--config", "c", "--addr="]).is_err());
    }

    #[test]
    fn flags_without_an_effect_are_errors_that_say_what_to_do_instead() {
        for (flag, instead) in [
            ("--root abc", "--root: write the identity into the file instead: `admin: {identity: …}`"),
            ("--mlock", "--mlock: leave it out"),
            ("--dev", "--dev: run `keyraft dev` instead"),
            ("--enclave e", "--enclave: leave it out"),
            ("--quiet", "--quiet: leave it out"),
            ("-q", "--quiet: leave it out"),
            ("--port 7373", "--port: write --addr 0.0.0.0:PORT instead"),
        ] {
            let refused = read(&format!("server --config c {flag}")).retired.refuse().unwrap_err().to_string();
            assert!(refused.starts_with(instead), "{refused}");
        }
        assert!(read("server --config c").retired.refuse().is_ok());
        // KES starts a throw-away server without a file.
        assert!(read("server --dev").retired.refuse().is_err());
        assert!(Line::try_parse_from(["server"]).is_err());
    }
}
