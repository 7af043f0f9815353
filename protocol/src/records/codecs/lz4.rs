//! The LZ4 frame format around LZ4 blocks.
//!
//! ```text
//! magic 04 22 4D 18, FLG, BD, [content size u64], header checksum u8,
//! blocks: size u32 (top bit: stored uncompressed), data, [checksum u32] ... end mark u32 = 0, [content checksum u32]
//! ```
//! All integers are little-endian. Written as Java does: independent blocks of 64 KiB, no sizes, no checksums but the
//! header's. Read: every flag but dictionaries; frames may be concatenated. A shell of our own because the output lies
//! in one piece, so that linked blocks need no window and nothing is allocated per call.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};

use super::Output;
use super::xxh32::xxh32;
use crate::records::RecordsError;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION: u8 = 0b0100_0000;
const VERSION_BITS: u8 = 0b1100_0000;
const INDEPENDENT_BLOCKS: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY_ID: u8 = 1;
/// The block size code of 64 KiB, in the place it has in BD.
const BLOCK_64_KIB: u8 = 4 << 4;
const BLOCK_BYTES: usize = 64 << 10;
const STORED_BIT: u32 = 1 << 31;
/// How far back a linked block may reach.
const WINDOW_BYTES: usize = 64 << 10;
/// No LZ4 block grows more: each byte of length adds 255.
const MAX_RATIO: usize = 256;

thread_local! {
    static TABLES: RefCell<Option<(CompressTable, CompressTable)>> = const { RefCell::new(None) };
}

pub(super) fn compress(input: &[u8], out: &mut BytesMut) {
    let descriptor = [VERSION | INDEPENDENT_BLOCKS, BLOCK_64_KIB];
    out.put_slice(&MAGIC);
    out.put_slice(&descriptor);
    out.put_u8((xxh32(&descriptor) >> 8) as u8);
    TABLES.with_borrow_mut(|tables| {
        let (small, large) = tables.get_or_insert_with(|| (CompressTable::small(), CompressTable::large()));
        for block in input.chunks(BLOCK_BYTES) {
            let size_at = out.len();
            let start = size_at + 4;
            out.resize(start + get_maximum_output_size(block.len()), 0);
            // The small table's positions have 16 bits; they do for all but a full block.
            let table = if block.len() < usize::from(u16::MAX) { &mut *small } else { &mut *large };
            let length = compress_into_with_table(block, &mut out[start..], table)
                .expect("the output has the room that LZ4 asks for");
            let size = if length < block.len() {
                out.truncate(start + length);
                length as u32
            } else {
                out.truncate(start);
                out.put_slice(block);
                block.len() as u32 | STORED_BIT
            };
            out[size_at..start].copy_from_slice(&size.to_le_bytes());
        }
    });
    out.put_u32_le(0);
}

pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    let mut rest = input;
    loop {
        decompress_frame(&mut rest, output)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(rest: &mut &[u8], output: &Output<'_>) -> Result<[u8; N], RecordsError> {
    match rest.split_first_chunk::<N>() {
        Some((taken, after)) => {
            *rest = after;
            Ok(*taken)
        }
        None => Err(output.corrupt("the frame is cut off")),
    }
}

fn decompress_frame(rest: &mut &[u8], output: &mut Output<'_>) -> Result<(), RecordsError> {
    if take::<4>(rest, output)? != MAGIC {
        return Err(output.corrupt("it is no LZ4 frame"));
    }
    let descriptor_start = *rest;
    let [flags, block_descriptor] = take::<2>(rest, output)?;
    if flags & VERSION_BITS != VERSION || flags & RESERVED != 0 {
        return Err(output.corrupt("the frame has an unknown version"));
    }
    if flags & DICTIONARY_ID != 0 {
        return Err(output.corrupt("the frame needs a dictionary"));
    }
    let max_block_bytes = match block_descriptor >> 4 {
        code @ 4..=7 => 1usize << (8 + 2 * code),
        _ => return Err(output.corrupt("the frame has an unknown block size")),
    };
    if flags & CONTENT_SIZE != 0 {
        take::<8>(rest, output)?;
    }
    let descriptor = &descriptor_start[..descriptor_start.len() - rest.len()];
    let [header_checksum] = take::<1>(rest, output)?;
    if header_checksum != (xxh32(descriptor) >> 8) as u8 {
        return Err(output.corrupt("the frame header's checksum does not match"));
    }
    let frame_start = output.filled;
    loop {
        let size = u32::from_le_bytes(take::<4>(rest, output)?);
        if size == 0 {
            break;
        }
        let Some((block, after)) = rest.split_at_checked((size & !STORED_BIT) as usize) else {
            return Err(output.corrupt("a block is cut off"));
        };
        *rest = after;
        if flags & BLOCK_CHECKSUMS != 0 && u32::from_le_bytes(take::<4>(rest, output)?) != xxh32(block) {
            return Err(output.corrupt("a block's checksum does not match"));
        }
        let is_linked = flags & INDEPENDENT_BLOCKS == 0;
        decompress_block(
            block,
            size & STORED_BIT != 0,
            is_linked.then_some(frame_start),
            max_block_bytes,
            output,
        )?;
    }
    if flags & CONTENT_CHECKSUM != 0 {
        let checksum = u32::from_le_bytes(take::<4>(rest, output)?);
        if checksum != xxh32(&output.buffer[frame_start..output.filled]) {
            return Err(output.corrupt("the content's checksum does not match"));
        }
    }
    Ok(())
}

/// Decompresses one block; a linked one may refer back as far as `linked_to`.
fn decompress_block(
    block: &[u8],
    is_stored: bool,
    linked_to: Option<usize>,
    max_block_bytes: usize,
    output: &mut Output<'_>,
) -> Result<(), RecordsError> {
    if is_stored {
        if block.len() > max_block_bytes {
            return Err(output.corrupt("a block is larger than the frame allows"));
        }
        output.room(block.len())?[..block.len()].copy_from_slice(block);
        output.filled += block.len();
        return Ok(());
    }
    // The last block of a batch is rarely full, so the bound by ratio matters more than the block size.
    let bound = max_block_bytes.min(block.len().saturating_mul(MAX_RATIO));
    let bound_left = bound.min(output.max_bytes - output.filled);
    output.room(bound_left)?;
    let (before, room) = output.buffer.split_at_mut(output.filled);
    let room = &mut room[..bound_left];
    let written = match linked_to {
        Some(frame_start) => {
            let window_start = frame_start.max(before.len().saturating_sub(WINDOW_BYTES));
            decompress_into_with_dict(block, room, &before[window_start..])
        }
        None => decompress_into(block, room),
    };
    match written {
        Ok(written) => {
            output.filled += written;
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if bound_left < bound => {
            Err(output.too_large())
        }
        Err(error) => Err(output.corrupt(error.to_string())),
    }
}
