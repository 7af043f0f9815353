//! Snappy: xerial's framing, which Java writes, and the raw block, which librdkafka and Go clients write.
//!
//! ```text
//! 82 "SNAPPY" 00, version i32 = 1, compatible version i32 = 1, then for each block: length i32, raw block
//! ```
//! All integers are big-endian. Streams may be concatenated, so the header may come again between blocks.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Output;
use crate::records::RecordsError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = MAGIC.len() + 8;
/// xerial's block size.
const BLOCK_BYTES: usize = 32 << 10;
/// No Snappy data grows more: its densest element makes 64 bytes of 3.
const MAX_RATIO: usize = 22;

thread_local! {
    // It owns a hash table that is worth keeping.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

pub(super) fn compress(input: &[u8], out: &mut BytesMut) {
    out.put_slice(&MAGIC);
    out.put_i32(1);
    out.put_i32(1);
    ENCODER.with_borrow_mut(|encoder| {
        for block in input.chunks(BLOCK_BYTES) {
            let length_at = out.len();
            let start = length_at + 4;
            out.resize(start + max_compress_len(block.len()), 0);
            let length = encoder
                .compress(block, &mut out[start..])
                .expect("the output has the room that Snappy asks for");
            out.truncate(start + length);
            out[length_at..start].copy_from_slice(&(length as u32).to_be_bytes());
        }
    });
}

pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    let mut rest = input;
    if !rest.starts_with(&MAGIC) {
        return decompress_block(rest, output);
    }
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            let Some(blocks) = rest.get(HEADER_BYTES..) else {
                return Err(output.corrupt("its header is cut off"));
            };
            rest = blocks;
            continue;
        }
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Err(output.corrupt("a block's length is cut off"));
        };
        let block = usize::try_from(i32::from_be_bytes(*length)).ok().and_then(|length| after.get(..length));
        let Some(block) = block else {
            return Err(output.corrupt("a block is cut off"));
        };
        decompress_block(block, output)?;
        rest = &after[block.len()..];
    }
    Ok(())
}

fn decompress_block(block: &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    let length = decompress_len(block).map_err(|error| output.corrupt(error.to_string()))?;
    if length > block.len().saturating_mul(MAX_RATIO) {
        return Err(output.corrupt("a block claims more than Snappy can hold"));
    }
    let room = output.room(length)?;
    match Decoder::new().decompress(block, room) {
        Ok(written) => {
            output.filled += written;
            Ok(())
        }
        Err(error) => Err(output.corrupt(error.to_string())),
    }
}
