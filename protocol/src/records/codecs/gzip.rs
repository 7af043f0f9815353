//! gzip, of one or several members.

use std::cell::RefCell;

use bytes::BytesMut;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::Output;
use crate::records::RecordsError;

/// What Java's `Deflater.DEFAULT_COMPRESSION` means.
const DEFAULT_LEVEL: u32 = 6;
/// The window of gzip's 32 KiB.
const WINDOW_BITS: u8 = 15;

thread_local! {
    static ENCODER: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut BytesMut) {
    let level = level.and_then(|level| u32::try_from(level).ok()).filter(|level| (1..=9).contains(level));
    let level = level.unwrap_or(DEFAULT_LEVEL);
    ENCODER.with_borrow_mut(|encoder| {
        let encoder = match encoder {
            Some((of, encoder)) if *of == level => encoder,
            _ => {
                &mut encoder
                    .insert((level, Compress::new_gzip(flate2::Compression::new(level), WINDOW_BITS)))
                    .1
            }
        };
        encoder.reset();
        let mut consumed = 0;
        let mut length = out.len();
        // Deflate's own bound, and the gzip header and trailer: one call is enough, as a rule.
        let mut room = input.len() + (input.len() >> 12) + (input.len() >> 14) + (input.len() >> 25) + 64;
        loop {
            out.resize(length + room, 0);
            let (read, written) = (encoder.total_in(), encoder.total_out());
            let status = encoder.compress(&input[consumed..], &mut out[length..], FlushCompress::Finish);
            consumed += (encoder.total_in() - read) as usize;
            length += (encoder.total_out() - written) as usize;
            match status.expect("deflate fails on a broken state only, and this one was reset") {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => room *= 2,
            }
        }
        out.truncate(length);
    });
}

pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    DECODER.with_borrow_mut(|decoder| {
        let decoder = decoder.get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
        decoder.reset(true);
        let mut rest = input;
        loop {
            let input_bytes = rest.len();
            let room = output.streaming_room(input_bytes);
            let is_full = room.is_empty();
            let (read, written) = (decoder.total_in(), decoder.total_out());
            let status = decoder.decompress(rest, room, FlushDecompress::None);
            let read = (decoder.total_in() - read) as usize;
            let written = (decoder.total_out() - written) as usize;
            rest = &rest[read..];
            output.filled += written;
            match status {
                Ok(Status::StreamEnd) if rest.is_empty() => return Ok(()),
                // Another member follows.
                Ok(Status::StreamEnd) => decoder.reset(true),
                Ok(_) if read > 0 || written > 0 => {}
                Ok(_) if is_full => return Err(output.too_large()),
                Ok(_) => return Err(output.corrupt("it ends early")),
                Err(error) => return Err(output.corrupt(error.to_string())),
            }
        }
    })
}
