//! Notices that this machine is a copy: a clone, or one that was put back from a snapshot while it ran.
//!
//! A hypervisor gives each copy another VM generation id. Linux does not show the id to programs, but newer kernels send an
//! event when it changes. Where they do not, a tool of the hypervisor can write the id to a file.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::raft::Failure;

/// The pause between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The multicast group of the kernel's events.
const KERNEL_EVENTS: u32 = 1;
/// What the kernel's event says. Its fields end with a zero byte.
const CHANGED: &[u8] = b"NEW_VMGENID=1";
/// The longest event of the kernel.
const MAX_EVENT: usize = 16 * 1024;

const WHY: &str = "the VM generation id of this machine has changed: the machine was cloned, or put back from a snapshot, \
                   while this node ran. The node ends: its data folder (cluster.data) may lack writes that the node \
                   acknowledged, and using it can lose keys. Start the node again here only if it has not run anywhere \
                   since the snapshot was taken. Delete a clone, because the node runs on the original. Otherwise leave \
                   the node stopped. The other nodes go on without it while more than half of all nodes run";

/// Reports when this machine has become a copy, as the kernel or the file says. Never returns before.
pub(super) async fn watch(file: Option<PathBuf>, failure: Failure) {
    let by_file = async {
        match &file {
            Some(file) => file_changed(file).await,
            None => std::future::pending().await,
        }
    };
    let by_kernel = async {
        if let Err(error) = kernel_reports().await {
            tracing::debug!(%error, "the kernel does not report to this node that the machine was copied");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = by_file => {}
        () = by_kernel => {}
    }
    // The next start would not find out by itself: peers noted this start, and the copy knows it.
    failure.report_lasting(WHY);
}

/// Returns once the content of the file differs from what it was at first, in two looks. A file that is empty or cannot be
/// read says nothing: somebody may be writing it.
async fn file_changed(file: &Path) {
    let mut looks = Looks::default();
    loop {
        let now = tokio::fs::read(file).await.unwrap_or_else(|error| {
            tracing::debug!(%error, file = %file.display(), "the node cannot read cluster.vm_generation");
            Vec::new()
        });
        if looks.look(now) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the file said so far.
#[derive(Default)]
struct Looks {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Looks {
    /// Takes what the file says now. Returns whether that is a change.
    fn look(&mut self, now: Vec<u8>) -> bool {
        if self.first.is_empty() {
            self.first.clone_from(&now);
        }
        let is_steady = !now.is_empty() && now == self.last;
        self.last = now;
        is_steady && self.last != self.first
    }
}

/// Returns once the kernel reports that the id has changed.
async fn kernel_reports() -> io::Result<()> {
    // tokio has no sockets of this kind, and this one waits for datagrams in the same way.
    let events = UdpSocket::from_std(subscribe()?.into())?;
    let mut event = vec![0; MAX_EVENT];
    loop {
        events.readable().await?;
        let receive = || Ok(recvfrom(&events, &mut event[..], RecvFlags::empty())?);
        match events.try_io(Interest::READABLE, receive) {
            Ok((length, _, sender)) => {
                // A program with privileges can send to the group, too. Only the kernel has no process id.
                let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                if sender.is_some_and(|sender| sender.pid() == 0) && reports_change(&event[..length]) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // There were more events than the socket holds.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
}

fn subscribe() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_EVENTS))?;
    Ok(socket)
}

fn reports_change(event: &[u8]) -> bool {
    event.split(|byte| *byte == 0).any(|field| field == CHANGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_in_the_second_look_and_an_unreadable_file_says_nothing() {
        let mut looks = Looks::default();
        for (content, changed) in [
            ("", false),
            ("one", false),
            ("one", false),
            ("", false),
            ("one", false),
            ("two", false),
            ("one", false),
            ("one", false),
            ("two", false),
            ("two", true),
        ] {
            assert_eq!(looks.look(content.as_bytes().to_vec()), changed, "{content}");
        }
    }

    #[test]
    fn only_the_event_of_the_generation_id_counts() {
        let event = b"change@/devices/platform/vmgenid\0ACTION=change\0SUBSYSTEM=platform\0NEW_VMGENID=1\0SEQNUM=7\0";
        assert!(reports_change(event));
        assert!(!reports_change(b"change@/devices/NEW_VMGENID=1/x\0ACTION=change\0NEW_VMGENID=10\0"));
    }
}
