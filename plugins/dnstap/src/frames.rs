//! Frame Streams: how dnstap messages travel on a connection.
//!
//! A data frame is its length in 32 bits and its bytes. A length of nought announces a control frame: length, type and
//! fields. On a connection both sides greet each other first: the writer says READY with the type of its content, the
//! reader ACCEPT, the writer START; at the end the writer says STOP, and the reader FINISH when it has everything.
//!
//! See <https://farsightsec.github.io/fstrm/>.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The type of the content, as both sides name it.
pub(crate) const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Longer control frames are refused, as the reference implementation does.
const MAX_CONTROL_LEN: usize = 512;

/// The one kind of field in control frames.
const FIELD_CONTENT_TYPE: u32 = 1;

const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;

/// Greets the reader of a new connection.
///
/// # Errors
///
/// The connection fails, the other side speaks something else, or it wants other content.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&control(READY, Some(CONTENT_TYPE))).await?;
    stream.flush().await?;
    let fields = read_control(stream, ACCEPT).await?;
    if !accepts(&fields)? {
        return Err(invalid("the collector accepts no dnstap messages"));
    }
    stream.write_all(&control(START, Some(CONTENT_TYPE))).await?;
    stream.flush().await
}

/// Says that nothing more comes, and waits until the reader has everything.
///
/// # Errors
///
/// The connection fails, or the other side says something else.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&control(STOP, None)).await?;
    stream.flush().await?;
    read_control(stream, FINISH).await?;
    stream.shutdown().await
}

fn control(kind: u32, content_type: Option<&[u8]>) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if let Some(content_type) = content_type {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(content_type.len() as u32).to_be_bytes());
        body.extend_from_slice(content_type);
    }
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.append(&mut body);
    frame
}

/// Reads a control frame of this type and gives its fields.
async fn read_control<S: AsyncRead + Unpin>(stream: &mut S, wanted: u32) -> io::Result<Vec<u8>> {
    if stream.read_u32().await? != 0 {
        return Err(invalid("a data frame where a control frame is due"));
    }
    let length = stream.read_u32().await? as usize;
    if !(4..=MAX_CONTROL_LEN).contains(&length) {
        return Err(invalid("a control frame of a length that none has"));
    }
    let kind = stream.read_u32().await?;
    let mut fields = vec![0; length - 4];
    stream.read_exact(&mut fields).await?;
    if kind == wanted {
        Ok(fields)
    } else {
        Err(invalid("another control frame than the one that is due"))
    }
}

/// Whether one of the content types is ours; a reader that names none takes all.
fn accepts(mut fields: &[u8]) -> io::Result<bool> {
    let mut named = false;
    while !fields.is_empty() {
        let broken = || invalid("a field of a control frame is cut off");
        let (kind, rest) = fields.split_first_chunk::<4>().ok_or_else(broken)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let (value, rest) = rest
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or_else(broken)?;
        if u32::from_be_bytes(*kind) == FIELD_CONTENT_TYPE {
            if value == CONTENT_TYPE {
                return Ok(true);
            }
            named = true;
        }
        fields = rest;
    }
    Ok(!named)
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
pub(crate) mod testing {
    //! The reader's side.

    use super::*;

    /// Greets the writer of a new connection.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
        let fields = read_control(stream, READY).await.expect("READY");
        assert!(accepts(&fields).expect("fields of READY"));
        stream
            .write_all(&control(ACCEPT, Some(CONTENT_TYPE)))
            .await
            .expect("room for ACCEPT");
        stream.flush().await.expect("a connection that takes ACCEPT");
        read_control(stream, START).await.expect("START");
    }

    /// The next frame's content; none behind STOP, which is answered.
    pub(crate) async fn next<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
        let length = stream.read_u32().await.expect("a frame's length");
        if length == 0 {
            let mut stop = vec![0; 8];
            stream.read_exact(&mut stop).await.expect("STOP");
            assert_eq!(stop, [0, 0, 0, 4, 0, 0, 0, 3]);
            stream
                .write_all(&control(FINISH, None))
                .await
                .expect("room for FINISH");
            stream.flush().await.expect("a connection that takes FINISH");
            return None;
        }
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.expect("a whole frame");
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_opened_and_closed_with_both_greetings() {
        let (mut writer, mut reader) = tokio::io::duplex(64);
        let reading = tokio::spawn(async move {
            testing::accept(&mut reader).await;
            let mut frames = Vec::new();
            while let Some(frame) = testing::next(&mut reader).await {
                frames.push(frame);
            }
            frames
        });
        open(&mut writer).await.unwrap();
        writer.write_all(b"\0\0\0\x03abc").await.unwrap();
        close(&mut writer).await.unwrap();
        assert_eq!(reading.await.unwrap(), [b"abc"]);
    }

    #[tokio::test]
    async fn what_is_no_greeting_is_refused() {
        let ready = control(READY, Some(CONTENT_TYPE));
        let other = control(ACCEPT, Some(b"protobuf:other"));
        let mut long = vec![0, 0, 0, 0, 0, 0, 2, 1];
        long.resize(1024, 0);
        let mut cut = control(ACCEPT, Some(CONTENT_TYPE));
        cut[19] = 200;
        for (case, answer, wanted) in [
            ("data", &b"\0\0\0\x01a"[..], "a data frame"),
            ("too short", b"\0\0\0\0\0\0\0\x03\0\0\0", "a length that none has"),
            ("too long", &long, "a length that none has"),
            ("another frame", &ready, "another control frame"),
            ("other content", &other, "accepts no dnstap"),
            ("field cut off", &cut, "cut off"),
            ("nothing", b"", "end of file"),
        ] {
            let (mut writer, mut reader) = tokio::io::duplex(4096);
            reader.write_all(answer).await.unwrap();
            reader.shutdown().await.unwrap();
            let error = open(&mut writer).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{case}: {error}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_names_no_content_takes_ours() {
        let (mut writer, mut reader) = tokio::io::duplex(4096);
        reader.write_all(&control(ACCEPT, None)).await.unwrap();
        open(&mut writer).await.unwrap();
    }
}
