//! The command blocks of a page in Markdown, and what the marker above each says about it.

/// A marker that says where to run a block, such as `<!-- run: on admin -->`.
const RUN: &str = "<!-- run: on ";
/// A marker that says why the test does not run a block.
const NOT_RUN: &str = "<!-- not run: ";

/// A block to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the page on which it begins, from 1.
    pub line: usize,
    /// On which machines to run it, one after the other.
    pub machines: Vec<&'static str>,
    /// The commands.
    pub text: String,
}

/// The blocks to run, in order.
///
/// # Errors
/// A block with commands has no marker, or one that does not say enough. The text names each by its line.
pub fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let (mut blocks, mut faults) = (Vec::new(), Vec::new());
    let mut lines = page.lines().enumerate();
    let mut before = "";
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            before = if line.trim().is_empty() { before } else { line };
            continue;
        };
        let text: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        if is_shell(language) {
            match machines(before) {
                Ok(machines) if machines.is_empty() => {}
                Ok(machines) => blocks.push(Block { line: number + 1, machines, text: text.join("\n") + "\n" }),
                Err(fault) => faults.push(format!("line {}: {fault}", number + 1)),
            }
        }
        before = "";
    }
    if faults.is_empty() { Ok(blocks) } else { Err(faults.join("\n")) }
}

/// Only these languages show something else than commands. A block without a language could be either.
fn is_shell(language: &str) -> bool {
    !["text", "yaml", "json"].contains(&language.trim())
}

/// The machines that a marker names. The list is empty if the marker says why the test does not run the block.
fn machines(marker: &str) -> Result<Vec<&'static str>, String> {
    let content = |begin| marker.strip_prefix(begin).and_then(|rest: &str| rest.strip_suffix(" -->"));
    if let Some(reason) = content(NOT_RUN) {
        return if reason.len() >= 10 { Ok(Vec::new()) } else { Err("say why the test does not run it".to_owned()) };
    }
    match content(RUN) {
        Some("each node") => Ok(vec!["kms-1", "kms-2", "kms-3"]),
        Some("kms-1") => Ok(vec!["kms-1"]),
        Some("minio-1") => Ok(vec!["minio-1"]),
        Some("admin") => Ok(vec!["admin"]),
        Some(other) => Err(format!("'{other}' is not a machine of the test")),
        None => Err(format!("write a marker above it: `{RUN}MACHINE -->` or `{NOT_RUN}REASON -->`")),
    }
}

#[test]
fn a_marker_says_where_to_run_a_block() {
    let page = "# A\n\n<!-- run: on each node -->\n\n```sh\ntrue\nfalse\n```\n\n```text\nout\n```\n\
                <!-- not run: it would take a day -->\n```bash\nx\n```\n<!-- run: on admin -->\n  ```sh\n  y\n  ```\n";
    let found = blocks(page).expect("every block has a marker");
    let shown: Vec<_> = found.iter().map(|block| (block.line, block.machines.len(), block.text.as_str())).collect();
    assert_eq!(shown, [(5, 3, "true\nfalse\n"), (18, 1, "  y\n")]);
}

#[test]
fn a_block_without_a_useful_marker_is_a_fault() {
    let faults = |page| blocks(page).expect_err("the marker is missing or wrong");
    assert!(faults("```sh\ntrue\n```\n").starts_with("line 1: write a marker above it"));
    assert!(faults("```\ntrue\n```\n").starts_with("line 1: write a marker"));
    assert!(faults("<!-- not run: -->\n```sh\n```\n").contains("write a marker"));
    assert!(faults("<!-- not run: why -->\n```sh\n```\n").contains("say why"));
    assert!(faults("<!-- run: on mars -->\n```sh\n```\n").contains("'mars' is not a machine"));
    assert!(faults("<!-- run: on admin -->\ntext between them\n```sh\n```\n").contains("write a marker"));
    // The marker of one block does not count for the next one.
    assert!(faults("<!-- run: on admin -->\n```sh\n```\n```sh\n```\n").starts_with("line 4"));
}
