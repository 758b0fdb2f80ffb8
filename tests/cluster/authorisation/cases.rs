//! Policies and requests made up from a seed: near what some policy says, in every encoding, and often just beside it.

use super::oracle::{self, Patterns};

/// What names are made of. Most are outside the grammar, so that what is permitted ends at the name and does nothing.
const NAMES: [&str; 16] = [
    "my.app",
    "my.app1",
    "my.app.secret",
    "my.app-",
    "a.",
    ".",
    "..",
    "a/b",
    "é.",
    "a%2F",
    "a b",
    "~",
    "*",
    "",
    "A",
    "a",
];

/// Numbers from a seed (`SplitMix64`): the same ones for ever.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("below a usize")
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    /// One of several.
    pub fn one_of<T: Clone>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())].clone()
    }
}

/// A policy; every pattern of it can match something.
pub fn policy(chance: &mut Chance) -> Patterns {
    let patterns = |chance: &mut Chance, most| (0..chance.below(most)).map(|_| pattern(chance)).collect();
    Patterns { allow: patterns(chance, 7), deny: patterns(chance, 4) }
}

fn pattern(chance: &mut Chance) -> String {
    if chance.percent(4) {
        return chance.one_of(&["*", "/*", "/v1/*", "/v1/key/*", "/v1/key/list*"]).to_owned();
    }
    let path = path(chance).replace(['*', '?'], "");
    match chance.below(3) {
        0 => {
            let cut = (1..=path.len()).filter(|&cut| path.is_char_boundary(cut)).collect::<Vec<_>>();
            path[..chance.one_of(&cut)].to_owned() + "*"
        }
        _ => path,
    }
}

/// The decoded path of some request that a route has.
fn path(chance: &mut Chance) -> String {
    if chance.percent(10) {
        let bare = ["/v1/key/list", "/v1/policy/list", "/v1/identity/list", "/v1/log/audit", "/v1/log/error/trace"];
        return chance.one_of(&bare).to_owned() + chance.one_of(&["", "/"]);
    }
    let (_, route, _) = chance.one_of(&oracle::routes().collect::<Vec<_>>());
    let named = ["NAME", "PREFIX"].iter().find_map(|word| route.strip_suffix(word));
    match named {
        Some(list) if list.ends_with("/list/") && chance.percent(40) => list[..list.len() - chance.below(2)].to_owned(),
        Some(beginning) => beginning.to_owned() + chance.one_of(&NAMES),
        None => route.to_owned(),
    }
}

/// The target of a request: near one of the patterns, or anywhere.
pub fn target(chance: &mut Chance, near: &[String]) -> String {
    let mut path = match near {
        [_, ..] if chance.percent(60) => {
            let pattern = chance.one_of(near);
            match pattern.strip_suffix('*') {
                Some(prefix) => prefix.to_owned() + chance.one_of(&NAMES),
                None => pattern,
            }
        }
        _ => self::path(chance),
    };
    if chance.percent(20) {
        bend(chance, &mut path);
    }
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let mut target = encoded(chance, &path);
    if chance.percent(3) {
        target += chance.one_of(&["%", "%2", "%zz", "%ff", "%c3", "%+1", "%C3%28", "%ed%a0%80"]);
    }
    target
}

fn bend(chance: &mut Chance, path: &mut String) {
    match chance.below(6) {
        0 => path.push('/'),
        1 => path.push_str(chance.one_of(&NAMES)),
        2 => *path = path.to_uppercase(),
        3 => *path = path.replacen('/', "//", 2),
        4 => drop(path.pop()),
        _ => *path = path.replacen("/v1", "/v1/.", 1),
    }
}

/// The first slash stands as it is, or it would be no request; everything else may be escaped, in either case.
fn encoded(chance: &mut Chance, path: &str) -> String {
    let share = chance.one_of(&[0, 0, 5, 50, 100]);
    let escape = |chance: &mut Chance, byte: u8| {
        let plain = byte.is_ascii_alphanumeric() || b"/-_.~*+=&:@!$',;()".contains(&byte);
        match (plain && !chance.percent(share), chance.percent(50)) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02x}"),
            (false, false) => format!("%{byte:02X}"),
        }
    };
    let rest = path.bytes().skip(1).map(|byte| escape(chance, byte)).collect::<String>();
    "/".to_owned() + &rest
}

/// The method that the target's route has, mostly.
pub fn method(chance: &mut Chance, target: &str) -> &'static str {
    let policies = [Patterns { allow: vec!["*".to_owned()], ..Patterns::default() }];
    let asker = oracle::Asker::Assigned(0);
    let fits = |method: &&&str| oracle::judge(&policies, &asker, method, target) == oracle::Verdict::Permitted;
    let fitting: Vec<_> = ["GET", "PUT", "POST", "DELETE"].iter().filter(fits).collect();
    if fitting.is_empty() || chance.percent(20) {
        chance.one_of(&["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "get", "QUERY"])
    } else {
        fitting[chance.below(fitting.len())]
    }
}
