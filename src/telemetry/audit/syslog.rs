//! Sends audit records to a syslog server: the machine's own, or one in the network (RFC 5424).

use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::{SyslogAddress, SyslogConfig};

/// A server that takes longer counts as failed, so that syslog holds the other sinks up for this long at most.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Severity "informational" (RFC 5424, section 6.2.1).
const INFORMATIONAL: u8 = 6;

/// A syslog server that gets records.
pub struct Syslog {
    config: SyslogConfig,
    node: String,
    connection: Option<SyslogConnection>,
    /// The question to the resolver that is still open.
    resolving: Option<mpsc::Receiver<io::Result<SocketAddr>>>,
}

enum SyslogConnection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Syslog {
    /// Takes the server as configured, and does not connect yet.
    pub fn new(config: SyslogConfig, node: &str) -> Self {
        Self { config, node: node.to_owned(), connection: None, resolving: None }
    }

    /// Returns the configuration of the server.
    pub fn config(&self) -> &SyslogConfig {
        &self.config
    }

    /// Sends records, one after the other. If it fails, the server may have some of them.
    ///
    /// # Errors
    /// The server is gone or takes too long.
    pub fn write<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let (mut message, by) = (Vec::new(), Instant::now() + TIMEOUT);
        for line in lines {
            message.clear();
            self.fill(&mut message, line, matches!(connection, SyslogConnection::Unix(_)))?;
            // One limit for all records: a server that takes each one slowly would hold up the other sinks.
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            connection.send(&message, left)?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn connect(&mut self) -> io::Result<SyslogConnection> {
        match self.config.address.clone() {
            SyslogAddress::Unix(path) => SyslogConnection::unix(&path),
            SyslogAddress::Udp(server) => SyslogConnection::udp(self.resolved(server)?),
            SyslogAddress::Tcp(server) => SyslogConnection::tcp(self.resolved(server)?),
        }
    }

    /// Returns the server's address. A resolver may take any time, so a thread of its own asks it, one at a time. If
    /// the answer comes too late, the next attempt uses it.
    fn resolved(&mut self, server: String) -> io::Result<SocketAddr> {
        let answer = match self.resolving.take() {
            Some(answer) => answer,
            None => resolve(server)?,
        };
        match answer.recv_timeout(TIMEOUT) {
            Ok(address) => address,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.resolving = Some(answer);
                Err(io::Error::new(io::ErrorKind::TimedOut, "the name of the server did not resolve in time"))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn fill(&self, message: &mut Vec<u8>, line: &str, local: bool) -> io::Result<()> {
        let (priority, process) = (self.config.facility.number() * 8 + INFORMATIONAL, std::process::id());
        if local {
            // The older form, which every daemon reads from its socket. The daemon adds the time itself.
            return write!(message, "<{priority}>keyraft[{process}]: {line}");
        }
        // RFC 5424, section 6.2.3, allows microseconds at the finest.
        let time = clock::rfc3339(Some(clock::unix_ns() / 1_000 * 1_000));
        write!(message, "<{priority}>1 {time} {} keyraft {process} audit - {line}", self.node)
    }
}

impl SyslogConnection {
    fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self::Unix(socket))
    }

    fn udp(server: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        Ok(Self::Udp(socket))
    }

    fn tcp(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    fn send(&mut self, message: &[u8], within: Duration) -> io::Result<()> {
        match self {
            Self::Unix(socket) => {
                socket.set_write_timeout(Some(within))?;
                socket.send(message).map(drop)
            }
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream) => {
                stream.set_write_timeout(Some(within))?;
                stream.write_all(&[format!("{} ", message.len()).as_bytes(), message].concat())
            }
        }
    }
}

/// Asks the resolver on a thread of its own, which ends with the answer.
fn resolve(server: String) -> io::Result<mpsc::Receiver<io::Result<SocketAddr>>> {
    let (answer, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("audit-resolver".to_owned()).spawn(move || {
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("{server} has no address"));
        let first = server.to_socket_addrs().and_then(|mut addresses| addresses.next().ok_or_else(none));
        // This fails if the configuration has another server by now.
        let _ = answer.send(first);
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn syslog(address: SyslogAddress) -> Syslog {
        Syslog::new(SyslogConfig { address, ..SyslogConfig::default() }, "node-1")
    }

    fn received(socket: impl Fn(&mut [u8]) -> io::Result<usize>) -> String {
        let mut bytes = [0; 1024];
        let count = socket(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn the_local_daemon_gets_the_older_form_and_may_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut syslog = syslog(SyslogAddress::Unix(path.clone()));
        assert!(syslog.write(["{}"].into_iter()).is_err(), "it is not there yet");
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&path).unwrap();
            syslog.write([r#"{"a":1}"#, "{}"].into_iter()).unwrap();
            let process = std::process::id();
            assert_eq!(received(|bytes| daemon.recv(bytes)), format!(r#"<86>keyraft[{process}]: {{"a":1}}"#));
            assert_eq!(received(|bytes| daemon.recv(bytes)), format!("<86>keyraft[{process}]: {{}}"));
            drop(daemon);
            std::fs::remove_file(&path).unwrap();
            assert!(syslog.write(["{}"].into_iter()).is_err(), "it is gone");
        }
    }

    #[test]
    fn a_remote_server_gets_rfc_5424() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut udp = syslog(SyslogAddress::Udp(server.local_addr().unwrap().to_string()));
        udp.write([r#"{"a":1}"#].into_iter()).unwrap();
        let message = received(|bytes| server.recv(bytes));
        let fields: Vec<_> = message.splitn(8, ' ').collect();
        let process = std::process::id().to_string();
        assert_eq!(
            (fields[0], &fields[2..]),
            ("<86>1", &["node-1", "keyraft", &process, "audit", "-", r#"{"a":1}"#][..])
        );
        assert!(fields[1].ends_with('Z') && fields[1].len() <= "2026-11-24T00:00:00.000000Z".len(), "{message}");
    }

    #[test]
    fn a_late_answer_of_the_resolver_serves_the_next_attempt() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut udp = syslog(SyslogAddress::Udp("never asked".to_owned()));
        let (answer, receiver) = mpsc::sync_channel(1);
        udp.resolving = Some(receiver);
        assert_eq!(udp.write(["{}"].into_iter()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        answer.send(server.local_addr()).unwrap();
        udp.write(["{}"].into_iter()).unwrap();
        assert!(received(|bytes| server.recv(bytes)).ends_with(" {}"));
        assert!(syslog(SyslogAddress::Tcp("no port".to_owned())).write(["{}"].into_iter()).is_err());
    }

    #[test]
    fn a_stream_frames_each_record_by_its_length() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tcp = syslog(SyslogAddress::Tcp(server.local_addr().unwrap().to_string()));
        tcp.write(["{}", "{}"].into_iter()).unwrap();
        let (mut stream, _) = server.accept().unwrap();
        drop((server, tcp));
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        for _ in 0..2 {
            let (length, rest) = text.split_once(' ').unwrap();
            let (message, rest) = rest.split_at(length.parse().unwrap());
            assert!(message.starts_with("<86>1 ") && message.ends_with(" {}"), "{message}");
            text = rest.to_owned();
        }
        assert_eq!(text, "");
    }
}
