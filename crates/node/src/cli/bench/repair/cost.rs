//! What other ways to repair would cost for the same keys: computed, not measured.

/// How a tree of fixed segments is cut: Riak's shape, 1,024 times 1,024 segments.
const BUCKETS: f64 = 1024.0;
const SEGMENTS: f64 = 1024.0 * 1024.0;

/// One hash with the number of what it is of, in bytes.
const HASH_BYTES: f64 = 20.0;

/// Bytes to find what differs with fixed segments, on average over keys that differ anywhere: a root, the hashes of
/// all buckets, those of the segments of each bucket that differs, and key and hash of each key in each segment
/// that differs. Both sides compare, one side sends.
pub(crate) fn fixed_segments(keys: u64, key_bytes: usize, differ: f64) -> f64 {
    if differ < 1.0 {
        return HASH_BYTES;
    }
    let touched = |of: f64| of * -f64::exp_m1(differ * f64::ln_1p(-1.0 / of));
    let (buckets, segments) = (touched(BUCKETS), touched(SEGMENTS));
    // A segment that differs holds one key that does, and of the others its share.
    let in_segments = differ.max(segments) + segments * (keys as f64 - differ).max(0.0) / SEGMENTS;
    HASH_BYTES * (1.0 + BUCKETS + buckets * BUCKETS) + in_segments * (key_bytes as f64 + HASH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_segments_cost_what_their_shape_says() {
        assert_eq!(fixed_segments(1_000_000, 16, 0.0), 20.0);
        // All buckets and one bucket's segments: twice 1,024 hashes.
        assert!((40_000.0..42_000.0).contains(&fixed_segments(1_000_000, 16, 1.0)));
        // Nearly every bucket is touched long before all segments are.
        let each = |differ: u32| fixed_segments(1_000_000, 16, f64::from(differ)) / f64::from(differ);
        assert!((12_000.0..15_000.0).contains(&each(1_000)), "{}", each(1_000));
        assert!((2_000.0..2_500.0).contains(&each(10_000)), "{}", each(10_000));
        assert!((200.0..300.0).contains(&each(100_000)), "{}", each(100_000));
    }
}
