//! Zstandard, of one or several frames.

use std::cell::RefCell;

use bytes::BytesMut;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name, max_c_level,
    min_c_level,
};

use super::Output;
use crate::records::RecordsError;

/// The library's and Java's default.
const DEFAULT_LEVEL: i32 = 3;

thread_local! {
    static ENCODER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut BytesMut) {
    let level = level.unwrap_or(DEFAULT_LEVEL).clamp(min_c_level(), max_c_level());
    ENCODER.with_borrow_mut(|encoder| {
        let encoder = encoder.get_or_insert_with(CCtx::create);
        encoder
            .set_parameter(CParameter::CompressionLevel(level))
            .expect("the level is within the library's bounds");
        let start = out.len();
        out.resize(start + compress_bound(input.len()), 0);
        let length =
            encoder.compress2(&mut out[start..], input).expect("the output has the room that zstd asks for");
        out.truncate(start + length);
    });
}

pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    DECODER.with_borrow_mut(|decoder| {
        let decoder = decoder.get_or_insert_with(DCtx::create);
        decoder.reset(ResetDirective::SessionOnly).map_err(|code| output.corrupt(get_error_name(code)))?;
        let mut source = InBuffer::around(input);
        loop {
            let input_bytes = input.len() - source.pos();
            let room = output.streaming_room(input_bytes);
            let is_full = room.is_empty();
            let read_before = source.pos();
            let mut sink = OutBuffer::around(room);
            let hint = decoder.decompress_stream(&mut sink, &mut source);
            let written = sink.pos();
            output.filled += written;
            match hint {
                // A frame has ended and is flushed.
                Ok(0) if source.pos() == input.len() => return Ok(()),
                Ok(_) if written > 0 || source.pos() > read_before => {}
                Ok(_) if is_full => return Err(output.too_large()),
                Ok(_) => return Err(output.corrupt("it ends early")),
                Err(code) => return Err(output.corrupt(get_error_name(code))),
            }
        }
    })
}
