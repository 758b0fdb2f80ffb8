//! How the view holds records: a number stands for what a record has in common with many others, and nothing for the version,
//! which its key has.

use std::collections::HashMap;

use crate::state::{CommonPart, CreationId, KeyRecord};

/// The number in front of a record that stands there as it is.
const WHOLE: u16 = 0;

/// What the records of a view have in common. Each such part keeps its number for as long as the view lives.
#[derive(Debug, Default)]
pub(super) struct CommonParts {
    /// By their number, from 1.
    parts: Vec<CommonPart>,
    numbers: HashMap<CommonPart, u16>,
}

/// A record in the form in which the view holds it.
#[derive(Clone, Copy)]
pub(super) struct ShortRecord<'a> {
    version: u32,
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Whole(&'a [u8]),
    Parts(&'a CommonPart, &'a [u8]),
}

impl CommonParts {
    /// The short form of the record of this version. Every byte string has one, also one that is not a record.
    pub fn shorten(&mut self, version: u32, record: &[u8]) -> Vec<u8> {
        let parts = CommonPart::split(record, version).and_then(|(common, own)| Some((self.number_of(common)?, own)));
        match parts {
            Some((number, own)) => [&number.to_be_bytes(), &own[..]].concat(),
            None => [&WHOLE.to_be_bytes(), record].concat(),
        }
    }

    /// The record of this version that has this short form, which [`CommonParts::shorten`] made.
    pub fn record<'a>(&'a self, version: u32, short: &'a [u8]) -> ShortRecord<'a> {
        let (number, rest) = short.split_first_chunk().expect("a short form begins with a number");
        let form = match u16::from_be_bytes(*number) {
            WHOLE => Form::Whole(rest),
            number => Form::Parts(&self.parts[usize::from(number) - 1], rest),
        };
        ShortRecord { version, form }
    }

    /// The number of a part, or `None` if all numbers are taken.
    fn number_of(&mut self, part: CommonPart) -> Option<u16> {
        if let Some(number) = self.numbers.get(&part) {
            return Some(*number);
        }
        let number = u16::try_from(self.parts.len() + 1).ok()?;
        self.parts.push(part.clone());
        self.numbers.insert(part, number);
        Some(number)
    }
}

impl ShortRecord<'_> {
    /// The encoded record.
    pub fn whole(&self) -> Vec<u8> {
        match self.form {
            Form::Whole(record) => record.into(),
            Form::Parts(common, own) => common.join(self.version, own),
        }
    }

    /// The creation and the version of the key.
    pub fn creation(&self) -> Option<(CreationId, u32)> {
        match self.form {
            Form::Whole(record) => KeyRecord::peek(record),
            Form::Parts(_, own) => Some((CommonPart::creation_id(own)?, self.version)),
        }
    }

    /// Whether the key is deleted and waits for its removal.
    pub fn is_waiting(&self) -> bool {
        match self.form {
            Form::Whole(record) => KeyRecord::is_waiting(record),
            Form::Parts(common, _) => common.is_waiting(),
        }
    }

    /// Whether the version is disabled.
    pub fn is_disabled(&self) -> bool {
        match self.form {
            Form::Whole(record) => KeyRecord::is_disabled(record),
            Form::Parts(common, _) => common.is_disabled(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::{Author, Identity};

    fn record(creator: u32) -> Vec<u8> {
        let mut identity = [7; 32];
        identity[..4].copy_from_slice(&creator.to_be_bytes());
        let author = Author { created_at: Some(1), created_by: Some(Identity::from_bytes(identity)) };
        KeyRecord {
            creation_id: CreationId([1; 16]),
            version: 3,
            cipher: Cipher::Aes256,
            disabled: true,
            ring_version: 2,
            author,
            last_used: None,
            delete_at: Some(4),
            sealed: vec![5; 110],
        }
        .encode()
    }

    #[test]
    fn any_bytes_are_the_same_after_they_were_shortened() {
        let (mut random, mut parts) = (StdRng::seed_from_u64(3), CommonParts::default());
        for _ in 0..20_000 {
            let mut bytes = record(random.random_range(0..3));
            bytes.truncate(random.random_range(0..=bytes.len()));
            let changes = if random.random_ratio(1, 4) { bytes.len() } else { random.random_range(0..3) };
            for _ in 0..changes.min(bytes.len()) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            let short = parts.shorten(3, &bytes);
            let again = parts.record(3, &short);
            assert_eq!(again.whole(), bytes);
            assert_eq!(again.creation(), KeyRecord::peek(&bytes));
            assert_eq!(again.is_waiting(), KeyRecord::is_waiting(&bytes));
            assert_eq!(again.is_disabled(), KeyRecord::is_disabled(&bytes));
        }
    }

    #[test]
    fn records_of_one_creator_share_a_number_and_those_without_a_number_stay_whole() {
        let mut parts = CommonParts::default();
        for creator in 0..70_000 {
            let record = record(creator);
            let short = parts.shorten(3, &record);
            assert_eq!(short.len() < record.len() - 32, creator < 65_535);
            assert_eq!(parts.record(3, &short).whole(), record);
        }
        assert_eq!(parts.shorten(3, &record(9))[..2], [0, 10]);
    }
}
