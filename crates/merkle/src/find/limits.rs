//! The bounds of a search.

/// The most bytes a [`crate::FindMessage`] takes in bincode's standard form: 256 KiB.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// The most messages in one turn, so 4 MiB a turn.
pub(crate) const TURN_PARTS_MAX: u32 = 16;

/// Bytes of a message kept free for its tags and lengths.
pub(crate) const HEADER_BYTES: usize = 64;

/// How often one side asks for more cells in a search; from the third time on for a quarter more at least, or a
/// full turn.
pub(crate) const ASKS_MAX: u32 = 64;

/// Units that may be told beyond the number of cells given, as many as a decoder may peel.
pub(crate) const UNITS_SPARE: usize = 64;

/// Units peeled in one step, in about a millisecond.
pub(crate) const DECODE_UNITS: usize = 1024;

/// The most spans read from the view at once.
pub(crate) const SPANS_A_READ: usize = 512;

/// The most entries read from the view at once.
pub(crate) const SCAN_ENTRIES: usize = 1024;

/// A step ends when it has found this many entries, or one page of a scan more.
pub(crate) const STEP_FOUND: usize = 1024;

/// A step ends when it has read about this many entries or ranges without having to send a message.
pub(crate) const STEP_SCANNED: usize = 8192;
