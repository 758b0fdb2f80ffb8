//! The command line in shell scripts: command substitution and completion.

use crate::shell::Shell;
use crate::support::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_whose_key_cannot_be_printed_is_removed_again() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    admin.json(&["policy", "create", "my-app", "--allow", "/v1/key/*"]);
    let before = admin.json(&["identity", "ls"]);
    let folder = tempfile::tempdir().unwrap();
    let files = format!("--cert {0}/app.crt --key {0}/app.key", folder.path().display());
    let ended = admin.script(&format!("keyraft identity new --policy my-app {files} > /dev/full"));
    assert_eq!((ended.code, ended.error.contains("output cannot be written")), (1, true), "{ended:?}");
    assert_eq!(admin.json(&["identity", "ls"]), before);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);

    // If the caller may not remove it, the error names the identity to remove.
    admin.json(&["policy", "create", "maker", "--allow", "/v1/identity/create/*"]);
    let (_, maker) = admin.someone(&["--policy", "maker"]);
    let ended = maker.script("keyraft identity new --policy my-app > /dev/full");
    assert_eq!((ended.code, ended.error.contains("  keyraft identity rm ")), (1, true), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_substitutions_in_help_work() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "set -eu; cd {}\n\
         keyraft policy create my-app --allow '/v1/key/*'\n\
         keyraft identity new --cert app.crt --key app.key\n\
         keyraft identity new --cert ops.crt --key ops.key\n\
         keyraft identity create $(keyraft identity of ops.crt) --admin\n\
         keyraft policy assign my-app $(keyraft identity of app.crt)\n\
         keyraft identity info $(keyraft identity of app.crt)\n\
         MINIO_KES_API_KEY=$(keyraft identity new --policy my-app --bare) keyraft key create my-key\n\
         keyraft identity rm $(keyraft identity of app.crt)\n\
         keyraft identity of --json",
        folder.path().display()
    );
    let ended = admin.script(&script);
    assert_eq!((ended.code, ended.error.as_str()), (0, ""), "{ended:?}");
    assert!(ended.output.contains(r#""policy":"my-app""#), "{ended:?}");
    let last: serde_json::Value = serde_json::from_str(ended.output.lines().last().unwrap()).unwrap();
    assert_eq!(last["identity"].as_str().map(str::len), Some(64), "{ended:?}");
}

#[test]
fn each_shell_accepts_its_completion() {
    let shell = Shell::of_nobody();
    let bash = "set -e; source <(keyraft completion bash); complete -p keyraft\n\
                COMP_WORDS=(keyraft key ro); COMP_CWORD=2; _keyraft keyraft ro key; echo \"${COMPREPLY[*]}\"";
    let cipher = "source <(keyraft completion bash); COMP_WORDS=(keyraft key import k --cipher ''); COMP_CWORD=5; \
                  _keyraft keyraft '' --cipher; echo \"${COMPREPLY[*]}\"";
    let zsh = "set -e; autoload -U compinit; compinit -u -d /dev/null; source <(keyraft completion zsh); \
               print -- ${_comps[keyraft]}";
    let fish = "keyraft completion fish | source; complete -C 'keyraft key ro'";
    for (program, script, says) in [
        ("bash", bash, "rotate"),
        ("bash", cipher, "AES256 ChaCha20"),
        ("zsh", zsh, "_keyraft"),
        ("fish", fish, "rotate"),
    ] {
        let there = shell.script(&format!("command -v {program}"));
        if there.code == 0 {
            let ended = shell.script_of(program, script);
            assert_eq!((ended.code, ended.output.contains(says)), (0, true), "{program}: {ended:?}");
        }
    }
}
