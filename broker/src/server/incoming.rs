//! What a connection reads into, and uses again.
//!
//! A frame is taken out of its buffer without a copy and lives until its request is done. The buffers that large frames
//! lived in are kept while a connection is busy: memory that is given back and taken anew for each frame is faulted in
//! anew, page by page, which was an eighth of what producing cost the broker. How many are kept is bounded, and a
//! connection that rests keeps none.

use bytes::BytesMut;

/// What an idle connection reads into; small, because there may be thousands.
const IDLE_READ_BYTES: usize = 4 * 1024;
/// What a busy one reads into between large frames, and what is read at once beyond the frame that is being read.
const BUSY_READ_BYTES: usize = 64 * 1024;
/// A frame up to this size gets its memory at once; a larger one as its bytes come, so that nobody gets memory for a
/// length alone.
const FRAME_AT_ONCE_BYTES: usize = 2 * 1024 * 1024;
/// Large buffers are of a multiple of this size, so that the next frame fits if it is a little larger.
const STEP_BYTES: usize = 64 * 1024;
/// Buffers kept: one for each request that a producer has in flight, and one to read into.
const KEPT_BUFFERS: usize = 6;
/// Bytes kept.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// The bytes that have arrived and were not taken, and the buffers of those that were.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What has arrived.
    pub(super) bytes: BytesMut,
    /// The size of the buffer that `bytes` lies in, if it is worth keeping.
    room: usize,
    /// Buffers that frames were taken from, with their sizes: free once these frames are gone.
    kept: Vec<(BytesMut, usize)>,
}

impl Incoming {
    /// Makes room between two frames; `is_busy`: requests are waiting. Gives how much may be read.
    pub(super) fn between_frames(&mut self, is_busy: bool) -> usize {
        let left = self.bytes.capacity() - self.bytes.len();
        if !self.bytes.is_empty() {
            // The beginning of a length.
            self.grow(IDLE_READ_BYTES);
        } else if self.room > 0 && left < BUSY_READ_BYTES || left == 0 {
            self.replace(|| BytesMut::with_capacity(if is_busy { BUSY_READ_BYTES } else { IDLE_READ_BYTES }));
        } else if self.room == 0 {
            self.bytes.reserve(IDLE_READ_BYTES / 4);
        }
        BUSY_READ_BYTES
    }

    /// Makes room for the rest of the frame whose beginning has arrived. Gives how much may be read.
    pub(super) fn in_frame(&mut self, missing: usize) -> usize {
        if missing <= FRAME_AT_ONCE_BYTES {
            self.grow(missing.max(1));
        } else if self.bytes.capacity() - self.bytes.len() < BUSY_READ_BYTES {
            self.grow(self.bytes.len().clamp(FRAME_AT_ONCE_BYTES, missing));
        }
        missing.max(BUSY_READ_BYTES)
    }

    /// Lets go of all memory that holds nothing.
    pub(super) fn rest(&mut self) {
        self.kept = Vec::new();
        if self.bytes.is_empty() {
            (self.bytes, self.room) = (BytesMut::new(), 0);
        }
    }

    /// Whether there is memory to let go of.
    pub(super) fn is_resting(&self) -> bool {
        self.kept.is_empty() && (self.room == 0 || !self.bytes.is_empty())
    }

    /// Makes room for `more` bytes behind what has arrived.
    fn grow(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() >= more {
            return;
        }
        let needed = self.bytes.len() + more;
        let arrived = std::mem::take(&mut self.bytes);
        let old_room = std::mem::take(&mut self.room);
        if !self.reuse(needed) {
            let room = needed.next_multiple_of(if needed > BUSY_READ_BYTES { STEP_BYTES } else { 1 });
            self.bytes = BytesMut::with_capacity(room);
            self.room = if room > BUSY_READ_BYTES { self.bytes.capacity() } else { 0 };
        }
        self.bytes.extend_from_slice(&arrived);
        self.keep(arrived, old_room);
    }

    /// Reads on in a buffer that was used before, or a fresh one.
    fn replace(&mut self, fresh: impl FnOnce() -> BytesMut) {
        let (old, room) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.room));
        self.keep(old, room);
        if !self.reuse(BUSY_READ_BYTES) {
            self.bytes = fresh();
        }
    }

    /// Takes a buffer of at least `needed` bytes whose frames are gone, if there is one.
    fn reuse(&mut self, needed: usize) -> bool {
        let free = |(buffer, room): &mut (BytesMut, usize)| *room >= needed && buffer.try_reclaim(*room);
        match self.kept.iter_mut().position(free) {
            Some(at) => {
                (self.bytes, self.room) = self.kept.swap_remove(at);
                true
            }
            None => false,
        }
    }

    fn keep(&mut self, mut buffer: BytesMut, room: usize) {
        let kept_bytes: usize = self.kept.iter().map(|(_, room)| room).sum();
        if room > 0 && self.kept.len() < KEPT_BUFFERS && kept_bytes + room <= KEPT_BYTES {
            buffer.clear();
            self.kept.push((buffer, room));
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::frame;
    use bytes::Bytes;

    use super::*;

    /// Reads a frame of `length` bytes in pieces, as a connection does, and takes it.
    fn read(incoming: &mut Incoming, length: usize, fill: u8) -> Bytes {
        let mut stream = Vec::from((length as u32).to_be_bytes());
        stream.resize(4 + length, fill);
        let mut rest = &stream[..];
        loop {
            if let Some(frame) = frame::take_frame(&mut incoming.bytes, usize::MAX).unwrap() {
                assert_eq!((frame.len(), rest.len()), (length, 0));
                assert!(frame.iter().all(|byte| *byte == fill));
                return frame;
            }
            let limit = match frame::missing_bytes(&incoming.bytes) {
                Some(missing) => incoming.in_frame(missing),
                None => incoming.between_frames(true),
            };
            let room = incoming.bytes.capacity() - incoming.bytes.len();
            assert!(room > 0 && limit > 0, "nothing could be read");
            let step = room.min(limit).min(rest.len()).min(30_000);
            incoming.bytes.extend_from_slice(&rest[..step]);
            rest = &rest[step..];
        }
    }

    #[test]
    fn the_memory_of_frames_that_are_gone_is_used_again() {
        let mut incoming = Incoming::default();
        let mut places = std::collections::BTreeSet::new();
        let mut in_flight = std::collections::VecDeque::new();
        for n in 0..200u32 {
            if in_flight.len() == 3 {
                let (frame, fill): (Bytes, u8) = in_flight.pop_front().unwrap();
                assert!(frame.iter().all(|byte| *byte == fill), "a frame was written over");
            }
            let frame = read(&mut incoming, 150_000 + (n as usize * 37) % 20_000, n as u8);
            places.insert(frame.as_ptr() as usize);
            in_flight.push_back((frame, n as u8));
        }
        assert!(places.len() <= 12, "{} places for at most three frames at once", places.len());
    }

    #[test]
    fn a_frame_that_outgrows_its_buffer_moves_a_few_times_only() {
        let mut incoming = Incoming::default();
        let length: usize = 50 << 20;
        incoming.bytes.extend_from_slice(&(length as u32).to_be_bytes());
        let mut rooms = std::collections::BTreeSet::new();
        while let Some(missing @ 1..) = frame::missing_bytes(&incoming.bytes) {
            let limit = incoming.in_frame(missing);
            rooms.insert(incoming.bytes.as_ptr() as usize + incoming.bytes.capacity());
            let room = incoming.bytes.capacity() - incoming.bytes.len();
            incoming.bytes.resize(incoming.bytes.len() + room.min(limit).min(100_000), 1);
        }
        assert!(rooms.len() < 10, "it lay in {} places", rooms.len());
        assert!(incoming.bytes.capacity() < length + 2 * STEP_BYTES, "no more room than it has bytes");
    }

    #[test]
    fn what_is_kept_is_bounded_and_let_go_at_rest() {
        let mut incoming = Incoming::default();
        for length in [10, 200_000, 1_000_000, 5_000_000, 100, 3_000_000, 70_000, 900_000, 900_000] {
            drop(read(&mut incoming, length, 1));
            let kept: usize = incoming.kept.iter().map(|(_, room)| room).sum();
            assert!(kept <= KEPT_BYTES && incoming.kept.len() <= KEPT_BUFFERS, "{kept} after {length}");
        }
        assert!(!incoming.is_resting());
        incoming.rest();
        assert!(incoming.is_resting());
        assert_eq!(incoming.bytes.capacity(), 0);
        // Small frames alone keep nothing.
        (0..1000).for_each(|_| drop(read(&mut incoming, 100, 1)));
        assert!(incoming.is_resting());
    }
}
