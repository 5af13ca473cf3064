//! Frames of a pubsub stream: a length, then that many bytes. What is too long is skipped, and the stream goes on: Go
//! counts each broken stream, and is silent after four.

/// The most bytes that a frame is read with: as many as Go reads.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
/// The most bytes that a frame is skipped with.
pub(crate) const MAX_SKIPPED_BYTES: usize = 8 << 20;
/// The most bytes that are set aside before they have come.
const FIRST_CAPACITY: usize = 4096;

/// A frame that was read, or skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Its bytes, without the length.
    Whole(Vec<u8>),
    /// It was longer than [`MAX_FRAME_BYTES`].
    Skipped,
}

/// A stream that can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of more than {MAX_SKIPPED_BYTES} bytes, or of no length")]
pub struct FrameError;

/// Takes frames out of a stream's bytes, however they come in pieces.
#[derive(Debug, Default)]
pub struct FrameReader {
    length: u64,
    shift: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Length,
    Body(Vec<u8>, usize),
    Skip(usize),
}

impl FrameReader {
    /// Takes from the front of the bytes until a frame is whole. None: they are all taken.
    ///
    /// # Errors
    ///
    /// When the stream can't be read on.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        loop {
            match &mut self.state {
                State::Length => {
                    let Some((&byte, rest)) = bytes.split_first() else { return Ok(None) };
                    *bytes = rest;
                    if self.shift > 63 {
                        return Err(FrameError);
                    }
                    self.length |= u64::from(byte & 0x7f) << self.shift;
                    self.shift += 7;
                    if byte & 0x80 == 0 {
                        let length = usize::try_from(self.length).map_err(|_| FrameError)?;
                        (self.length, self.shift) = (0, 0);
                        self.state = if length <= MAX_FRAME_BYTES {
                            State::Body(Vec::with_capacity(length.min(FIRST_CAPACITY)), length)
                        } else if length <= MAX_SKIPPED_BYTES {
                            State::Skip(length)
                        } else {
                            return Err(FrameError);
                        };
                    }
                }
                State::Body(body, length) => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(*length - body.len()));
                    body.extend_from_slice(taken);
                    *bytes = rest;
                    if body.len() < *length {
                        return Ok(None);
                    }
                    let body = std::mem::take(body);
                    self.state = State::Length;
                    return Ok(Some(Frame::Whole(body)));
                }
                State::Skip(left) => {
                    let (skipped, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= skipped.len();
                    *bytes = rest;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Length;
                    return Ok(Some(Frame::Skipped));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::frame_of as framed, protobuf::put_varint};

    fn read(reader: &mut FrameReader, mut bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = reader.take(&mut bytes)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_however_they_come() {
        let bodies = [vec![], vec![1], vec![2; 127], vec![3; 128], vec![4; 70_000]];
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body).to_vec()).collect();
        for piece in [1, 2, 7, 4096, stream.len()] {
            let mut reader = FrameReader::default();
            let frames: Vec<_> =
                stream.chunks(piece).flat_map(|piece| read(&mut reader, piece).unwrap()).collect();
            assert_eq!(frames, bodies.clone().map(Frame::Whole), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_over_1_mib_is_skipped_and_what_is_over_8_mib_ends_the_stream() {
        let mut reader = FrameReader::default();
        assert_eq!(
            read(&mut reader, &framed(&vec![1; MAX_FRAME_BYTES])).unwrap(),
            [Frame::Whole(vec![1; MAX_FRAME_BYTES])]
        );
        for length in [MAX_FRAME_BYTES + 1, MAX_SKIPPED_BYTES] {
            let stream = [framed(&vec![1; length]), framed(b"next")].concat();
            assert_eq!(read(&mut reader, &stream).unwrap(), [Frame::Skipped, Frame::Whole(b"next".to_vec())]);
        }
        let mut length = Vec::new();
        put_varint(&mut length, MAX_SKIPPED_BYTES as u64 + 1);
        assert_eq!(read(&mut reader, &length), Err(FrameError));
        assert_eq!(read(&mut FrameReader::default(), &[0xff; 11]), Err(FrameError));
    }

    #[test]
    fn a_length_alone_sets_little_aside() {
        let mut reader = FrameReader::default();
        let mut length = Vec::new();
        put_varint(&mut length, MAX_FRAME_BYTES as u64);
        read(&mut reader, &length).unwrap();
        let State::Body(body, _) = reader.state else { panic!("no body is awaited") };
        assert!(body.capacity() <= FIRST_CAPACITY);
    }
}
