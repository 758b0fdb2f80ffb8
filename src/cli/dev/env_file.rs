//! The `env` file: the variables with which a shell, MinIO, `kes` and `keyraft` reach the cluster as its admin.

use std::fmt::Write as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::layout::Layout;
use crate::cli::escape::quoted;
use crate::tls::ApiKey;

/// The file's text. It has no API key if the borrowed configuration names the admin, because only they have theirs.
pub fn render(layout: &Layout, admin: Option<&ApiKey>) -> Zeroizing<String> {
    let addresses: Vec<_> = layout.numbers().map(|number| layout.api_address(number).to_string()).collect();
    let urls: Vec<_> = addresses.iter().map(|address| format!("https://{address}")).collect();
    let mut text = Zeroizing::new(String::new());
    let mut export = |name: &str, value: &str| {
        writeln!(text, "export {name}={}", quoted(value)).expect("writing to a String does not fail");
    };
    export("MINIO_KMS_KES_ENDPOINT", &urls.join(","));
    export("MINIO_KMS_KES_CAPATH", &shown(&layout.ca()));
    export("MINIO_KMS_KES_KEY_NAME", &layout.origin().key_name);
    export("MINIO_KES_SERVER", &addresses.join(","));
    export("KEYRAFT_CA", &shown(&layout.ca()));
    if let Some(admin) = admin {
        export("MINIO_KMS_KES_API_KEY", &admin.expose());
        export("MINIO_KES_API_KEY", &admin.expose());
    } else {
        text.push_str("# The admin is the identity that the configuration names. Set its API key:\n");
        text.push_str("# export MINIO_KMS_KES_API_KEY=kes:v1:… MINIO_KES_API_KEY=kes:v1:…\n");
    }
    text
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev::layout::Origin;

    #[test]
    fn every_variable_that_clients_read_is_set() {
        let origin = Origin { port: 7373, nodes: 3, config: None, key_name: "my-key".into() };
        let layout = Layout::new("/tmp/it's here".into(), origin);
        let key = ApiKey::generate().unwrap();
        let text = render(&layout, Some(&key));
        let three = "https://127.0.0.1:7373,https://127.0.0.1:7374,https://127.0.0.1:7375";
        assert!(text.contains(&format!("export MINIO_KMS_KES_ENDPOINT={three}\n")));
        assert!(text.contains(&format!("export MINIO_KES_API_KEY={}\n", *key.expose())));
        assert!(text.contains(r"export KEYRAFT_CA='/tmp/it'\''s here/ca.crt'"), "{}", *text);
        for name in ["MINIO_KMS_KES_API_KEY", "MINIO_KMS_KES_CAPATH", "MINIO_KMS_KES_KEY_NAME", "MINIO_KES_SERVER"] {
            assert!(text.contains(&format!("export {name}=")), "{name}");
        }
        assert!(!render(&layout, None).lines().any(|line| line.starts_with("export") && line.contains("API_KEY")));
    }
}
