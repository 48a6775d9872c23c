//! A row of bits as bytes, lowest bit first.

/// A growing row of bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    pub(crate) fn push(&mut self, bit: bool) {
        let at = self.len % 8;
        if at == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << at;
        }
        self.len += 1;
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A row of exactly `len` bits from bytes; `None` when there are more or fewer bytes than that takes, or a spare
    /// bit is set.
    pub(crate) fn from_bytes(bytes: Vec<u8>, len: usize) -> Option<Bits> {
        let spare = len % 8;
        let clean = spare == 0 || bytes.last().is_none_or(|last| last >> spare == 0);
        (bytes.len() == len.div_ceil(8) && clean).then_some(Bits { bytes, len })
    }

    /// Bit `index`; false past the end.
    pub(crate) fn get(&self, index: usize) -> bool {
        index < self.len && self.bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// True when one of the `count` bits from `first` on is set.
    pub(crate) fn any(&self, first: usize, count: usize) -> bool {
        (first..first.saturating_add(count).min(self.len)).any(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back() {
        let mut row = Bits::default();
        for index in 0..19 {
            row.push(index % 3 == 0);
        }
        assert!((0..19).all(|index| row.get(index) == (index % 3 == 0)));
        assert!(!row.get(19) && row.any(1, 3) && !row.any(1, 2) && !row.any(19, 400));
        let bytes = row.into_bytes();
        assert!(Bits::from_bytes(bytes.clone(), 19).is_some());
        assert!(Bits::from_bytes(bytes.clone(), 17).is_none(), "bit 18 is set");
        assert!(Bits::from_bytes(bytes.clone(), 16).is_none());
        assert!(Bits::from_bytes(bytes, 25).is_none());
        assert!(Bits::from_bytes(vec![], 0).is_some());
    }
}
