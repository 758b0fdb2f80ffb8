//! Finds the ports of a cluster that other programs listen on.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::cli::dev::layout::Layout;

/// The ports of the cluster that are taken, in order.
pub fn taken(layout: &Layout) -> Vec<u16> {
    let addresses = layout.numbers().flat_map(|number| [layout.api_address(number), layout.peer_address(number)]);
    let mut taken: Vec<_> = addresses
        .filter(|address| TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse))
        .map(|address| address.port())
        .collect();
    taken.sort_unstable();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev::layout::Origin;

    #[test]
    fn a_taken_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().min(65_000);
        let layout = Layout::new("/tmp".into(), Origin { port, nodes: 1, config: None, key_name: String::new() });
        if port == listener.local_addr().unwrap().port() {
            assert!(taken(&layout).contains(&port));
        }
    }
}
