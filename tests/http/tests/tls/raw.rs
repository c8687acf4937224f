//! The other side by hand: plain rustls, whose records go over a stream when and in what pieces a test wants.

use std::io::{Read, Write};
use std::sync::Arc;

use punctual::net::{Error, Socket, transport::StreamTransport};
use punctual::tls::Acceptor;
use punctual_tests_http::certificates::Authority;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConnection};

pub(crate) struct Raw<T: StreamTransport> {
    pub(crate) socket: Socket<T>,
    pub(crate) tls: Connection,
    /// How many bytes go over the stream at a time; a different number each time.
    pub(crate) piece: Box<dyn FnMut() -> usize>,
    /// Ciphertext that was read beyond what rustls wanted.
    pending: Vec<u8>,
}

pub(crate) fn client_config(authority: &Authority) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth()
}

impl<T: StreamTransport> Raw<T> {
    pub(crate) fn server(socket: Socket<T>, acceptor: &Acceptor) -> Raw<T> {
        let tls = ServerConnection::new(acceptor.config().clone()).expect("a connection");
        Raw::over(socket, tls.into())
    }

    pub(crate) fn client(socket: Socket<T>, authority: &Authority) -> Raw<T> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(client_config(authority)), name).expect("a connection");
        Raw::over(socket, tls.into())
    }

    fn over(socket: Socket<T>, tls: Connection) -> Raw<T> {
        Raw { socket, tls, piece: Box::new(|| 16 * 1024), pending: Vec::new() }
    }

    /// Records that wait to be sent.
    pub(crate) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory takes all");
        }
        records
    }

    /// Records with this in it.
    pub(crate) fn sealed(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plaintext).expect("room");
        self.records()
    }

    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let some = (self.piece)().clamp(1, bytes.len());
            let sent = self.socket.write(&bytes[..some]).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let records = self.records();
        self.send(&records).await
    }

    /// Reads a piece; how many bytes came.
    pub(crate) async fn pull(&mut self) -> Result<usize, Error> {
        let before = self.pending.len();
        self.process();
        if self.pending.len() < before {
            return Ok(before - self.pending.len());
        }
        let mut piece = vec![0; (self.piece)().max(1)];
        let read = self.socket.read(&mut piece).await?;
        self.pending.extend_from_slice(&piece[..read]);
        self.process();
        Ok(read)
    }

    fn process(&mut self) {
        while !self.pending.is_empty() && self.tls.wants_read() {
            let taken = self.tls.read_tls(&mut &self.pending[..]).expect("room");
            self.pending.drain(..taken);
            self.tls.process_new_packets().expect("good records");
            if taken == 0 {
                break;
            }
        }
    }

    pub(crate) async fn shake(&mut self) -> Result<(), Error> {
        loop {
            // The tickets of a server go with what it says first: a client that writes before it reads would hold them up.
            let done = !self.tls.is_handshaking();
            if done && matches!(self.tls, Connection::Server(_)) {
                return Ok(());
            }
            self.flush().await?;
            if done {
                return Ok(());
            }
            if self.pull().await? == 0 {
                return Ok(());
            }
        }
    }

    /// Everything that comes, until the peer has ended it by `close_notify` or without.
    pub(crate) async fn recv_all(&mut self) -> Result<(Vec<u8>, bool), Error> {
        let mut all = Vec::new();
        loop {
            let clean = match self.tls.reader().read_to_end(&mut all) {
                Ok(_) => true,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // What was left over may be enough.
                    if self.pull().await? > 0 {
                        continue;
                    }
                    false
                }
                Err(_) => false,
            };
            return Ok((all, clean));
        }
    }
}
