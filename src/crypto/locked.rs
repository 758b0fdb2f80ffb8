//! Memory for root keys and ring keys, which the system neither swaps out, nor dumps, nor hands to a forked process.
//!
//! Each secret has a page of its own. That takes few pages: a node holds one for each ring version, and one or two for a
//! root key while it opens a seal. A ring has at most 64 versions and usually one or two, so they even fit into the 64 KiB
//! that an old system lets a process lock.
//!
//! This is the one file of Keyraft with `unsafe` code (design, "Secrets in memory").

#![expect(unsafe_code, reason = "the system calls that protect memory take addresses")]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::Once;

use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroize;

use super::random;

/// `N` secret bytes on a locked page. The page is wiped before the system gets it back.
///
/// If the system refuses the protection, the secret is usable all the same, and the first refusal is logged: a node that
/// ended for this could not decrypt.
pub struct LockedSecret<const N: usize>(NonNull<[u8; N]>);

/// The system refused to protect a page. The node works all the same.
#[derive(Debug, Error)]
#[error(
    "the system does not protect the memory of root key and key ring ({call}: {error}), so it may write these keys to \
     swap space or a core dump. Let the process lock 8 MiB: LimitMEMLOCK=8M in the systemd unit, `ulimit -l 8192` in a \
     shell, `--ulimit memlock=8388608` for a container"
)]
pub struct MemoryUnprotected {
    call: &'static str,
    #[source]
    error: io::Error,
}

/// Tries whether the system protects the memory of a secret.
///
/// # Errors
/// It does not.
pub fn check_memory_protection() -> Result<(), MemoryUnprotected> {
    LockedSecret::<1>::map().1
}

impl<const N: usize> LockedSecret<N> {
    /// Random bytes.
    pub fn random() -> Self {
        let mut secret = Self::zeros();
        random::fill_key(secret.expose_mut());
        secret
    }

    /// A copy of `bytes`. The caller wipes the original.
    pub fn from_bytes(bytes: &[u8; N]) -> Self {
        let mut secret = Self::zeros();
        secret.expose_mut().copy_from_slice(bytes);
        secret
    }

    /// Zeros, for reading or decrypting a secret in place.
    pub(super) fn zeros() -> Self {
        static LOGGED: Once = Once::new();
        let (secret, protected) = Self::map();
        if let Err(refused) = protected {
            LOGGED.call_once(|| tracing::warn!("{refused}"));
        }
        secret
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; N] {
        // SAFETY: the page is mapped, readable and initialised (the system fills it with zeros) until the drop. Only
        // `expose_mut` gives out a reference that writes, and it borrows `self` mutably.
        unsafe { self.0.as_ref() }
    }

    /// The bytes, for filling or decrypting them in place.
    pub(super) fn expose_mut(&mut self) -> &mut [u8; N] {
        // SAFETY: as in `expose`, and the page is writable. `self` is borrowed mutably, so no other reference exists.
        unsafe { self.0.as_mut() }
    }

    /// A new page of zeros, and whether the system protects it.
    fn map() -> (Self, Result<(), MemoryUnprotected>) {
        const { assert!(N > 0, "the system maps no empty page") };
        // SAFETY: a new anonymous mapping at an address that the system chooses overlaps nothing.
        let mapped =
            unsafe { mm::mmap_anonymous(null_mut(), N, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        let page = mapped.ok().and_then(|page| NonNull::new(page.cast()));
        let secret = Self(page.expect("a process that the system gives no page of memory cannot go on"));
        let protected = secret.protect();
        (secret, protected)
    }

    /// Tries each protection, also after the system refused another one.
    fn protect(&self) -> Result<(), MemoryUnprotected> {
        let page = self.page();
        // SAFETY: the page is mapped, and belongs to this value alone. None of the calls changes its content: a process
        // that forks has the page until its end, and only the new process lacks it.
        let results = unsafe {
            [
                ("mlock", mm::mlock(page, N)),
                ("madvise(MADV_DONTDUMP)", mm::madvise(page, N, Advice::LinuxDontDump)),
                ("madvise(MADV_DONTFORK)", mm::madvise(page, N, Advice::LinuxDontFork)),
            ]
        };
        let refused = |(call, result): (_, rustix::io::Result<()>)| {
            result.map_err(|error| MemoryUnprotected { call, error: error.into() })
        };
        results.into_iter().try_for_each(refused)
    }

    fn page(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }
}

// SAFETY: the page belongs to this value alone, and every thread may use it.
unsafe impl<const N: usize> Send for LockedSecret<N> {}
// SAFETY: a shared reference only reads.
unsafe impl<const N: usize> Sync for LockedSecret<N> {}

impl<const N: usize> Drop for LockedSecret<N> {
    fn drop(&mut self) {
        self.expose_mut().zeroize();
        // SAFETY: `map` mapped these bytes, and no reference to them outlives this value. This also unlocks the page.
        let unmapped = unsafe { mm::munmap(self.page(), N) };
        debug_assert!(unmapped.is_ok(), "a page of zeros stays: {unmapped:?}");
    }
}

impl<const N: usize> Clone for LockedSecret<N> {
    fn clone(&self) -> Self {
        Self::from_bytes(self.expose())
    }
}

impl<const N: usize> PartialEq for LockedSecret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(&other.expose()[..]).into()
    }
}

impl<const N: usize> Eq for LockedSecret<N> {}

impl<const N: usize> fmt::Debug for LockedSecret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockedSecret<{N}>(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the kernel says about the page of a secret: the flags of its mapping.
    fn flags(secret: &LockedSecret<32>) -> Vec<String> {
        let address = secret.page() as usize;
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let ends = range.map(|(from, to)| [from, to].map(|end| usize::from_str_radix(end, 16)));
            if let Some([Ok(from), Ok(to)]) = ends {
                inside = (from..to).contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        panic!("the page is not mapped");
    }

    #[test]
    fn the_kernel_neither_dumps_nor_forks_the_page_and_locks_it_if_it_may() {
        let secret = LockedSecret::from_bytes(&[7; 32]);
        let flags = flags(&secret);
        let has = |flag: &str| flags.iter().any(|has| has == flag);
        assert!(has("dd") && has("dc"), "{flags:?}");
        assert_eq!(has("lo"), check_memory_protection().is_ok(), "{flags:?}");
    }

    #[test]
    fn secrets_are_apart_and_equal_by_their_bytes() {
        let mut one = LockedSecret::from_bytes(&[1; 32]);
        let copy = one.clone();
        assert_eq!(one, copy);
        one.expose_mut()[31] = 2;
        assert_ne!(one, copy);
        assert_eq!(copy.expose(), &[1; 32]);
        assert_ne!(LockedSecret::<32>::random(), LockedSecret::random());
        let moved = std::thread::spawn(move || *copy.expose()).join().unwrap();
        assert_eq!(moved, [1; 32]);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", LockedSecret::from_bytes(&[65; 32])), "LockedSecret<32>(..)");
    }
}
