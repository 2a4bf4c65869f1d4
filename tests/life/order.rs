//! The orders in which pieces of streams arrive.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As it happened: resourceVersions are one counter for the whole cluster.
    Version,
    /// As it came over the line, chunk by chunk.
    Arrival,
    /// As it happened, but each event about a Service so many events later, or earlier.
    ServicesShifted(isize),
}

/// A piece that is pushed at once: some bytes of a line.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) bytes: Range<usize>,
    /// The latest version that is in it, or before it on its line.
    pub(crate) version: u64,
}

pub(crate) fn pieces(lines: &[Line], order: Order) -> Vec<Piece> {
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let initial = line.initial();
        let mut version = 0;
        let versions = line.events.iter().enumerate().map(|(at, (end, event))| {
            version = if at < initial { 0 } else { event.version.max(version) };
            (*end, version)
        });
        let ends: Vec<(usize, u64)> =
            if order == Order::Arrival { line.chunks.clone() } else { versions.collect() };
        let starts = [0].into_iter().chain(ends.iter().map(|&(end, _)| end));
        let of_line = starts
            .zip(&ends)
            .map(|(start, &(end, key))| (key, Piece { line: at, bytes: start..end, version: key }));
        pieces.extend(of_line);
    }
    // Stable: of what has the same key the facts come first.
    pieces.sort_by_key(|&(key, _)| key);
    let Order::ServicesShifted(by) = order else {
        return pieces.into_iter().map(|(_, piece)| piece).collect();
    };
    let initial = pieces.iter().filter(|(key, _)| *key == 0).count();
    let mut shifted: Vec<(usize, Piece)> = Vec::new();
    for (at, (key, piece)) in pieces.into_iter().enumerate() {
        let is_service = lines[piece.line].of == Of::Service && key > 0;
        shifted
            .push((if is_service { at.saturating_add_signed(by).max(initial) } else { at }, piece));
    }
    shifted.sort_by_key(|&(at, _)| at);
    shifted.into_iter().map(|(_, piece)| piece).collect()
}

/// When the embedder calls `refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Whenever the generation moved.
    Always,
    AtTheEnd,
    /// At moments that have nothing to do with anything.
    Sometimes,
}
