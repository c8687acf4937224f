//! tonic's own server and client, on tokio, in threads of their own.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::bytes_service::BytesService;

/// A server of tonic's, until it is dropped.
pub(crate) struct TonicServer {
    pub(crate) address: SocketAddr,
    pub(crate) health: tonic_health::server::HealthReporter,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TonicServer {
    pub(crate) fn start(service: BytesService) -> TonicServer {
        let (health, health_service) = tonic_health::server::health_reporter();
        let (address_there, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            on_tokio(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
                address_there.send(listener.local_addr().expect("its address")).expect("the test waits");
                let server = Server::builder().add_service(health_service).add_service(service);
                // Calls that the test has left open would hold up a shutdown in order: it goes with its runtime.
                drop(tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener))));
                let _ = stopped.await;
            });
        });
        let address = address.recv().expect("a server");
        TonicServer { address, health, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for TonicServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// Runs `future` on a runtime of tokio's, on this thread.
pub(crate) fn on_tokio<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of tokio's").block_on(future)
}
