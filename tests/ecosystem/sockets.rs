//! Sockets, names and TLS, without tokio: `async-net` and `futures-rustls`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_net::{TcpListener, TcpStream, UdpSocket};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use futures_rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use loopwheel::{TaskGroup, create_task, gather, wait_for};

use crate::common::ms;
use crate::on_both;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[test]
fn a_tcp_server_of_async_net_answers_many_clients_on_one_loop() {
    on_both("tcp", async || {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = create_task(async move {
            TaskGroup::scope(async |group: &TaskGroup<io::Error>| {
                let mut clients = listener.incoming().take(10);
                while let Some(stream) = clients.next().await {
                    let mut stream = stream?;
                    group.create_task(async move {
                        let mut said = String::new();
                        stream.read_to_string(&mut said).await?;
                        stream.write_all(said.to_uppercase().as_bytes()).await
                    });
                }
                Ok::<(), io::Error>(())
            })
            .await
        });
        let clients = (0..10).map(|number| async move {
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream.write_all(format!("client {number}").as_bytes()).await.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let answers = gather(clients).await;
        serving.await.unwrap().unwrap();
        let expected: Vec<_> = (0..10).map(|number| format!("CLIENT {number}")).collect();
        assert_eq!(answers, expected);
    });
}

#[test]
fn a_time_limit_cancels_an_accept_and_the_listener_can_be_used_again() {
    on_both("accept", async || {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        assert!(wait_for(listener.accept(), ms(5)).await.is_err(), "there was no client");
        let server = listener.local_addr().unwrap();
        let client = create_task(TcpStream::connect(server));
        listener.accept().await.unwrap();
        client.await.unwrap().unwrap();
    });
}

#[test]
fn datagrams_of_async_net_arrive() {
    on_both("udp", async || {
        let (one, two) = (UdpSocket::bind(ANY_PORT).await, UdpSocket::bind(ANY_PORT).await);
        let (one, two) = (one.unwrap(), two.unwrap());
        let to = two.local_addr().unwrap();
        let sender = create_task(async move { one.send_to(b"hello", to).await });
        let mut buffer = [0; 16];
        let (length, _) = two.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"hello");
        assert_eq!(sender.await.unwrap().unwrap(), 5);
    });
}

#[test]
#[cfg(unix)]
fn unix_sockets_of_async_net_connect() {
    use async_net::unix::UnixStream;

    on_both("unix", async || {
        let (mut one, mut two) = UnixStream::pair().unwrap();
        let writer = create_task(async move { one.write_all(b"hello").await });
        let mut said = String::new();
        two.read_to_string(&mut said).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(said, "hello");
    });
}

#[test]
fn a_name_is_resolved_on_a_thread_and_the_loop_goes_on() {
    on_both("dns", async || {
        let addresses = async_net::resolve(("localhost", 80)).await;
        let addresses: Vec<SocketAddr> = addresses.unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    });
}

/// A certificate for "localhost" of a server that the client trusts.
fn tls() -> (TlsAcceptor, TlsConnector) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let certificate = certified.cert.der().clone();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

#[test]
fn a_client_and_a_server_of_futures_rustls_talk_over_tls() {
    let (acceptor, connector) = tls();
    on_both("tls", async || {
        let acceptor = acceptor.clone();
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = create_task(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(b"hello, over TLS").await?;
            stream.close().await
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(said, "hello, over TLS");
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error_on_both_sides() {
    let ((acceptor, _), (_, stranger)) = (tls(), tls());
    on_both("tls, not trusted", async || {
        let acceptor = acceptor.clone();
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = create_task(async move {
            let (stream, _) = listener.accept().await?;
            acceptor.accept(stream).await.map(drop)
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let refused = stranger.connect(ServerName::try_from("localhost").unwrap(), stream).await;
        assert!(refused.unwrap_err().to_string().contains("certificate"));
        assert!(server.await.unwrap().is_err());
    });
}
