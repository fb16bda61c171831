//! Endpoints on the loopback: who gets in, what is delivered, what is bounded, what happens after a kill.

use super::*;
use crate::ids::{BootId, ClusterId, Incarnation, NodeId};
use crate::limits::{FRAME_BYTES_MAX, LANE_BYTES_MAX, RAFT_LANE_FRAMES_MAX};
use crate::net::tls::{Identity, Role, create_ca, issue};
use crate::net::wire::{CloseCode, Hello, Lane, PROTOCOL_NEWEST, PROTOCOL_OLDEST, Refusal};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const SOON: Duration = Duration::from_secs(8);

/// Certificates of one authority, made as they are asked for.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        create_ca(dir.path()).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn identity(&self, role: Role) -> Identity {
        if !self.path().join(format!("{}.pem", role.file_stem())).exists() {
            issue(self.path(), role, self.path()).unwrap();
        }
        Identity::load(self.path(), role).unwrap()
    }

    fn node(&self, id: u32) -> Identity {
        self.identity(Role::Node(NodeId(id)))
    }
}

/// A sink that remembers.
#[derive(Default)]
struct Sink {
    frames: Mutex<Vec<(NodeId, Lane, Bytes)>>,
    received: AtomicUsize,
    received_bytes: AtomicUsize,
    keep: bool,
    /// Sends each raft frame back to where it came from.
    echo: Mutex<Option<PeerHandle>>,
    events: Mutex<Vec<String>>,
    incarnation: Option<Incarnation>,
    /// Keeps requests unanswered.
    hold: bool,
    held: Mutex<Vec<Responder>>,
}

impl Sink {
    fn keeping() -> Arc<Self> {
        Arc::new(Self { keep: true, ..Self::default() })
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }
}

impl Inbound for Sink {
    fn admit(&self, hello: &Hello) -> Result<(), Refusal> {
        match self.incarnation {
            Some(known) if matches!(hello.from, Role::Node(_)) && hello.incarnation != known => {
                Err(Refusal::new(CloseCode::Incarnation, format!("known as {known}")))
            }
            _ => Ok(()),
        }
    }

    fn connected(&self, peer: NodeId, hello: &Hello, version: u16) {
        assert_eq!((hello.from, version), (Role::Node(peer), PROTOCOL_NEWEST));
        self.events.lock().unwrap().push(format!("+{peer}"));
    }

    fn frames(&self, from: NodeId, lane: Lane, frames: Vec<Bytes>) {
        self.received_bytes.fetch_add(frames.iter().map(Bytes::len).sum(), Ordering::SeqCst);
        self.received.fetch_add(frames.len(), Ordering::SeqCst);
        let echo = self.echo.lock().unwrap();
        for frame in frames {
            if let (Some(peer), Lane::Raft) = (&*echo, lane) {
                let _ = peer.send(lane, frame.clone());
            }
            if self.keep {
                self.frames.lock().unwrap().push((from, lane, frame));
            }
        }
    }

    fn disconnected(&self, peer: NodeId, reason: &str) {
        self.events.lock().unwrap().push(format!("-{peer} {reason}"));
    }

    fn request(&self, from: Requester, frame: Bytes, respond: Responder) {
        if self.hold {
            self.held.lock().unwrap().push(respond);
            return;
        }
        if frame == "silence" {
            return;
        }
        // From another thread, as the node does.
        std::thread::spawn(move || {
            if let Some(count) = frame.strip_prefix(b"many ") {
                let count: u32 = std::str::from_utf8(count).unwrap().parse().unwrap();
                for part in 0..count {
                    while respond.send(part.to_string()) == Err(SendError::Full) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            } else {
                let answer = [from.role.to_string().as_bytes(), b": ", &frame[..]].concat();
                respond.finish(answer).unwrap();
            }
        });
    }
}

fn node(cluster: u8, incarnation: u64) -> Node {
    static BOOTS: AtomicU64 = AtomicU64::new(1);
    Node {
        cluster: Some(ClusterId([cluster; 16])),
        incarnation: Incarnation(incarnation),
        boot: BootId(BOOTS.fetch_add(1, Ordering::SeqCst)),
        secret: NodeSecret([7; 32]),
    }
}

fn bind(identity: &Identity, sink: &Arc<Sink>) -> Endpoint {
    Endpoint::bind(ANY, identity, node(1, 1), Options::default(), sink.clone()).unwrap()
}

fn address(endpoint: &Endpoint) -> String {
    endpoint.local_address().unwrap().to_string()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Nodes 1 and 2, connected.
struct Pair {
    ca: Authority,
    one: Endpoint,
    two: Endpoint,
    to_two: PeerHandle,
    to_one: PeerHandle,
    sinks: [Arc<Sink>; 2],
}

async fn pair(sinks: [Arc<Sink>; 2]) -> Pair {
    let ca = Authority::new();
    let one = bind(&ca.node(1), &sinks[0]);
    let two = bind(&ca.node(2), &sinks[1]);
    let to_two = one.peer(NodeId(2), address(&two));
    let to_one = two.peer(NodeId(1), address(&one));
    until("the pair connects", || to_two.is_connected() && to_one.is_connected()).await;
    Pair { ca, one, two, to_two, to_one, sinks }
}

impl Pair {
    /// Both directions still work, and the connection is still the first one.
    async fn assert_unharmed(&self) {
        let before = self.sinks.each_ref().map(|sink| sink.count());
        self.to_two.send(Lane::Control, "still").unwrap();
        self.to_one.send(Lane::Control, "here").unwrap();
        until("both ways", || (0..2).all(|side| self.sinks[side].count() > before[side])).await;
        for (sink, other) in self.sinks.iter().zip(["n2", "n1"]) {
            let mut events = sink.events();
            events.retain(|event| event[1..].starts_with(other));
            assert_eq!(events, [format!("+{other}")]);
        }
    }
}

#[tokio::test]
async fn frames_arrive_in_order_on_every_lane_both_ways() {
    let pair = pair([Sink::keeping(), Sink::keeping()]).await;
    for number in 0..500u32 {
        for lane in Lane::ALL {
            // Some large enough to be passed on uncopied.
            let frame = vec![number as u8; if number % 100 == 0 { 20_000 } else { 10 }];
            pair.to_two.send(lane, frame.clone()).unwrap();
            pair.to_one.send(lane, frame).unwrap();
        }
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (side, from) in [(0, NodeId(2)), (1, NodeId(1))] {
        let sink = &pair.sinks[side];
        until("all arrive", || sink.count() == 1500).await;
        let frames = sink.frames.lock().unwrap();
        for lane in Lane::ALL {
            let got: Vec<u8> =
                frames.iter().filter(|f| f.1 == lane).map(|(_, _, frame)| frame[0]).collect();
            assert_eq!(got, (0..500u32).map(|n| n as u8).collect::<Vec<_>>(), "{lane}");
        }
        assert!(frames.iter().all(|frame| frame.0 == from));
    }
    let stats = pair.one.stats();
    let lane = stats.lane(Lane::Raft);
    assert_eq!((lane.frames_sent.get(), lane.bytes_sent.get()), (500, 5 * 20_000 + 495 * 10));
    assert!(lane.writes.get() < 250, "frames are written together: {}", lane.writes.get());
    pair.one.close(Duration::from_secs(2)).await;
    until("the end is told", || pair.sinks[1].events().len() == 2).await;
    assert!(pair.sinks[1].events()[1].contains("the node stops"), "{:?}", pair.sinks[1].events());
}

/// Node 2 dials nobody and meets strangers; each is refused with its reason, which it is told.
#[tokio::test]
async fn the_wrong_are_refused_with_a_reason_and_the_right_are_unharmed() {
    let pair = pair([
        Sink::keeping(),
        Arc::new(Sink { incarnation: Some(Incarnation(1)), ..Sink::default() }),
    ])
    .await;
    let target = address(&pair.two);
    let stats = pair.two.stats();
    let sink = Sink::keeping();

    // Another authority: no handshake.
    let other = Authority::new();
    let stranger = bind(&other.node(1), &sink);
    let handle = stranger.peer(NodeId(2), target.clone());
    let stranger_stats = stranger.stats();
    until("the wrong authority fails", || stranger_stats.dials_failed.get() > 0).await;
    assert!(!handle.is_connected());
    drop(stranger);

    // The dialer checks the certificate: it meant node 3, and there is node 2.
    let misled = bind(&pair.ca.node(1), &sink);
    let handle = misled.peer(NodeId(3), target.clone());
    let misled_stats = misled.stats();
    until("the wrong node fails", || misled_stats.dials_failed.get() > 0).await;
    assert!(!handle.is_connected());
    drop(misled);

    // Another cluster, an old incarnation, a node that is no peer.
    for (identity, node, code) in [
        (pair.ca.node(1), node(9, 1), CloseCode::WrongCluster),
        (pair.ca.node(1), node(1, 8), CloseCode::Incarnation),
        (pair.ca.node(0), node(1, 1), CloseCode::UnknownNode),
    ] {
        let endpoint =
            Endpoint::bind(ANY, &identity, node, Options::default(), sink.clone()).unwrap();
        let _handle = endpoint.peer(NodeId(2), target.clone());
        let refused = endpoint.stats();
        until(code.name(), || stats.refused(code).get() > 0).await;
        until("it is told", || refused.refused_by_peer.get() > 0).await;
    }

    // A client's certificate that claims to be an admin's, or a node's; a peer that is none.
    let client = pair.ca.identity(Role::Client);
    for claimed in [Role::Admin, Role::Node(NodeId(1))] {
        let error = raw::hello(&client, &target, |hello| hello.from = claimed).await.unwrap_err();
        assert!(error.contains("wrong_role") && error.contains("certificate"), "{error}");
    }
    let error =
        raw::hello(&client, &target, |hello| hello.purpose = crate::net::wire::Purpose::Peer)
            .await
            .unwrap_err();
    assert!(error.contains("no peer"), "{error}");
    let error = raw::hello(&client, &target, |hello| hello.to = Some(NodeId(7))).await.unwrap_err();
    assert!(error.contains("this is node 2, and node 7 was meant"), "{error}");
    let error = raw::hello(&client, &target, |hello| hello.oldest = 99).await.unwrap_err();
    let ours = format!("protocols {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}");
    assert!(error.contains(&ours), "{error}");
    raw::hello(&client, &target, |_| {}).await.unwrap();

    // A client's certificate is no node's: whoever holds one cannot stand in for a node.
    let impostor = raw::serve_as(&pair.ca.identity(Role::Admin));
    let asking = Client::new(impostor.1.to_string(), &client, None, None).unwrap();
    let error = asking.request("x", SOON).await.unwrap_err();
    assert!(!error.outcome_unknown(), "{error}");

    pair.assert_unharmed().await;
}

#[tokio::test]
async fn rubbish_on_the_port_and_broken_frames_harm_nobody() {
    let pair = pair([Sink::keeping(), Sink::keeping()]).await;
    let target = pair.two.local_address().unwrap();
    let socket = std::net::UdpSocket::bind(ANY).unwrap();
    let mut random = [0u8; 1400];
    for length in 1..1400 {
        getrandom::fill(&mut random[..length]).unwrap();
        if length % 3 == 0 {
            random[0] |= 0xc0; // Looks like a handshake.
            random[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        socket.send_to(&random[..length], target).unwrap();
    }

    // A good certificate that sends bad frames.
    let stats = pair.two.stats();
    let client = pair.ca.identity(Role::Client);
    for (bytes, code) in [
        (
            (FRAME_BYTES_MAX as u32 + 1)
                .to_le_bytes()
                .into_iter()
                .chain([1, 3])
                .collect::<Vec<u8>>(),
            CloseCode::FrameTooLong,
        ),
        (vec![1, 0, 0, 0, 9, 3, 0], CloseCode::Malformed),
        (vec![0xff; 100], CloseCode::Malformed),
    ] {
        let before = stats.refused(code).get();
        let closed = raw::send_on_request_stream(&client, &target.to_string(), bytes).await;
        assert!(closed.contains(code.name()), "{closed}");
        assert_eq!(stats.refused(code).get(), before + 1);
    }
    let closed = raw::send_on_lane(&client, &target.to_string()).await;
    assert!(closed.contains("lanes are for nodes"), "{closed}");
    pair.assert_unharmed().await;
}

#[tokio::test]
async fn a_node_that_breaks_the_rules_of_lanes_is_disconnected_and_comes_back() {
    let pair = pair([Sink::keeping(), Sink::keeping()]).await;
    let ca = &pair.ca;
    let three = bind(&ca.node(3), &Sink::keeping());
    three.peer(NodeId(2), address(&pair.two));
    let stats = three.stats();
    let target = address(&three);
    let lane = |number: u8| vec![1, 0, 0, 0, 1, 2, number];
    let oversize =
        [lane(0), (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec(), vec![1, 3]].concat();
    for (streams, code) in [
        (vec![oversize], CloseCode::FrameTooLong),
        (vec![lane(1), lane(1)], CloseCode::Protocol),
        (vec![lane(9)], CloseCode::Protocol),
        (vec![vec![0, 0, 0, 0, 1, 3]], CloseCode::Protocol),
        (vec![b"GET / HTTP/1.1\r\n".to_vec()], CloseCode::Malformed),
    ] {
        let before = stats.refused(code).get();
        let closed = raw::send_on_peer_lanes(&ca.node(2), &target, streams).await;
        assert!(closed.contains(code.name()), "{closed}");
        assert_eq!(stats.refused(code).get(), before + 1);
    }
    // The real node 2 gets in after the false one.
    let to_three = pair.two.peer(NodeId(3), target);
    until("node 2 comes back", || to_three.is_connected()).await;
    pair.assert_unharmed().await;
}

#[tokio::test]
async fn requests_are_answered_by_one_frame_or_many() {
    let ca = Authority::new();
    let sink = Sink::keeping();
    let endpoint = bind(&ca.node(7), &sink);
    let target = address(&endpoint);
    let admin = Client::new(target.clone(), &ca.identity(Role::Admin), None, None).unwrap();
    assert_eq!(admin.request("who", SOON).await.unwrap(), "admin: who");
    assert_eq!(admin.connect(SOON).await, Ok(NodeId(7)));

    let client =
        Client::new(target.clone(), &ca.identity(Role::Client), Some(NodeId(7)), None).unwrap();
    let mut answers = client.ask("many 1000", SOON).await.unwrap();
    let mut count = 0;
    while let Some(frame) = answers.next().await.unwrap() {
        assert_eq!(frame, count.to_string());
        count += 1;
    }
    assert_eq!(count, 1000);
    let large = Bytes::from(vec![b'x'; 9_000_000]);
    assert_eq!(client.request(large, SOON).await.unwrap().len(), 9_000_008);
    let silence = client.request("silence", SOON).await.unwrap_err();
    assert!(silence.outcome_unknown(), "{silence}");
    let many = (0..300).map(|_| client.request("who", SOON));
    for answer in futures(many).await {
        assert_eq!(answer.unwrap(), "client: who");
    }

    // A node may ask as well; the wrong node is noticed before anything is sent.
    let as_node = Client::new(target.clone(), &ca.node(3), None, None).unwrap();
    assert_eq!(as_node.request("who", SOON).await.unwrap(), "node 3: who");
    let requests = endpoint.stats().requests.get();
    let misled =
        Client::new(target.clone(), &ca.identity(Role::Client), Some(NodeId(8)), None).unwrap();
    let error = misled.request("who", SOON).await.unwrap_err();
    assert!(matches!(error, RequestError::Refused { .. }) && !error.outcome_unknown(), "{error}");
    let foreign = Authority::new();
    let stranger = Client::new(target.clone(), &foreign.identity(Role::Admin), None, None).unwrap();
    let error = stranger.request("who", SOON).await.unwrap_err();
    assert!(!error.outcome_unknown(), "{error}");
    let elsewhere = ClusterId([99; 16]);
    let lost = Client::new(target, &ca.identity(Role::Admin), None, Some(elsewhere)).unwrap();
    let error = lost.request("who", SOON).await.unwrap_err();
    assert!(error.to_string().contains("wrong_cluster"), "{error}");
    assert_eq!(endpoint.stats().requests.get(), requests);
    client.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_deadline_and_a_lost_node_say_what_is_known() {
    let ca = Authority::new();
    let sink = Arc::new(Sink { hold: true, ..Sink::default() });
    let endpoint = bind(&ca.node(7), &sink);
    let client = Client::new(address(&endpoint), &ca.identity(Role::Admin), None, None).unwrap();
    let slow = client.request("x", Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(slow, RequestError::TimedOut(_)) && slow.outcome_unknown());
    let (lost, ()) = tokio::join!(client.request("x", SOON), async {
        until("it is held", || sink.held.lock().unwrap().len() == 2).await;
        endpoint.close(Duration::from_secs(1)).await;
    });
    assert!(matches!(lost, Err(RequestError::Lost { .. })), "{lost:?}");
    until("the responder hears", || {
        sink.held.lock().unwrap().iter().all(|respond| respond.send("late").is_err())
    })
    .await;
    let gone = client.request("x", Duration::from_millis(300)).await.unwrap_err();
    assert!(!gone.outcome_unknown(), "{gone}");
}

/// Nodes meet before they are born. Born into one cluster they stay together, into two they part.
#[tokio::test]
async fn a_birth_is_told_to_those_already_connected() {
    let ca = Authority::new();
    let unborn = |id: u32, sink: &Arc<Sink>| {
        let node = Node { cluster: None, ..node(1, 1) };
        Endpoint::bind(ANY, &ca.node(id), node, Options::default(), sink.clone()).unwrap()
    };
    let sinks = [Sink::keeping(), Sink::keeping(), Sink::keeping()];
    let nodes = [1, 2, 3].map(|id| unborn(id, &sinks[id as usize - 1]));
    let to_two = nodes[0].peer(NodeId(2), address(&nodes[1]));
    let to_three = nodes[0].peer(NodeId(3), address(&nodes[2]));
    nodes[1].peer(NodeId(1), address(&nodes[0]));
    nodes[2].peer(NodeId(1), address(&nodes[0]));
    until("all meet", || to_two.is_connected() && to_three.is_connected()).await;
    nodes[0].set_cluster(ClusterId([4; 16]));
    nodes[1].set_cluster(ClusterId([4; 16]));
    nodes[2].set_cluster(ClusterId([5; 16]));
    until("the stranger parts", || !to_three.is_connected()).await;
    let refused = |node: &Endpoint| node.stats().refused(CloseCode::WrongCluster).get();
    until("for that reason", || refused(&nodes[0]) + refused(&nodes[2]) > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!to_three.is_connected());
    assert_eq!((refused(&nodes[1]), sinks[1].events()), (0, vec!["+n1".to_owned()]));
    assert!(to_two.is_connected());
}

/// A snapshot on the bulk lane does not delay the raft lane.
#[tokio::test]
async fn bulk_does_not_delay_raft() {
    let echo = Arc::new(Sink::default());
    let pair = pair([Arc::new(Sink::default()), echo.clone()]).await;
    *echo.echo.lock().unwrap() = Some(pair.to_one.clone());
    let home = &pair.sinks[0];
    let bulk = Bytes::from(vec![1; 10_000_000]);
    let begin = Instant::now();
    for _ in 0..5 {
        pair.to_two.send(Lane::Bulk, bulk.clone()).unwrap();
    }
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    while pair.two.stats().lane(Lane::Bulk).frames_received.get() < 5 {
        let (before, start) = (home.count(), Instant::now());
        pair.to_two.send(Lane::Raft, "ping").unwrap();
        while home.count() == before {
            assert!(start.elapsed() < SOON, "no echo");
            tokio::task::yield_now().await;
        }
        slowest = slowest.max(start.elapsed());
        rounds += 1;
    }
    assert!(rounds >= 10, "the bulk frames were gone at once: {rounds} rounds");
    // A heartbeat behind the bulk frames would take as long as all of them.
    let all = begin.elapsed();
    assert!(slowest * 3 < all, "{slowest:?} of {all:?} in {rounds} rounds");
}

/// What waits for a peer that does not read is bounded in frames and bytes, whatever is offered.
#[tokio::test]
async fn bounds_hold_with_a_peer_that_does_not_read() {
    let ca = Authority::new();
    let two = bind(&ca.node(2), &Sink::keeping());
    let to_one = two.peer(NodeId(1), "127.0.0.1:9");
    let _deaf = raw::deaf_peer(&ca.node(1), &address(&two)).await;
    until("connected", || to_one.is_connected()).await;

    let stats = two.stats();
    let small = Bytes::from(vec![0; 16_384]);
    let large = Bytes::from(vec![0; 1_000_000]);
    let (mut raft, mut bulk) = (0, 0);
    // The raft lane is bounded in frames first, the bulk lane in bytes.
    for _ in 0..60 {
        for _ in 0..100 {
            raft += usize::from(to_one.send(Lane::Raft, small.clone()).is_ok());
        }
        for _ in 0..10 {
            bulk += usize::from(to_one.send(Lane::Bulk, large.clone()).is_ok());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What QUIC took over is bounded by the windows of the other side.
    let window = Options::default().stream_window as usize;
    assert!(raft <= RAFT_LANE_FRAMES_MAX + window / 16_384 + 16, "{raft} raft frames");
    assert!(bulk * 1_000_000 <= LANE_BYTES_MAX + window + 1_000_000, "{bulk} MB bulk");
    assert_eq!(to_one.send(Lane::Raft, "x"), Err(SendError::Full));
    assert_eq!(to_one.send(Lane::Bulk, large.clone()), Err(SendError::Full));
    assert!(stats.lane(Lane::Raft).dropped_full.get() > 0);
    let waiting = tokio::time::timeout(
        Duration::from_millis(100),
        to_one.send_wait(Lane::Bulk, large.clone()),
    );
    assert!(waiting.await.is_err(), "a full bulk lane makes its sender wait");
    // The lanes are apart: control still takes frames.
    to_one.send(Lane::Control, "x").unwrap();
    two.remove_peer(NodeId(1));
    until("disconnected", || !to_one.is_connected()).await;
    assert_eq!(to_one.send(Lane::Raft, "x"), Err(SendError::NotConnected));
    assert_eq!(to_one.send_wait(Lane::Bulk, "x").await, Err(SendError::NotConnected));
}

/// An endpoint on a thread and runtime of its own, so that it can be killed.
struct Life {
    endpoint: Endpoint,
    end: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Life {
    fn start(at: SocketAddr, identity: Identity, sink: Arc<Sink>) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let (give, take) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let endpoint =
                    Endpoint::bind(at, &identity, node(1, 1), Options::default(), sink).unwrap();
                give.send(endpoint).unwrap();
                let _ = ended.await;
            });
        });
        Self { endpoint: take.recv().unwrap(), end, thread }
    }

    /// Its tasks are gone without a word, and its port is free.
    fn kill(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
        drop(self.endpoint);
    }
}

/// `kill -9` and restart on the same port with the same secret: the survivor notices at its next packet.
/// Both as the one that dials and as the one that waits.
#[test]
fn a_killed_and_restarted_peer_is_noticed_at_once() {
    for (survivor_id, victim_id) in [(1, 2), (2, 1)] {
        let ca = Authority::new();
        let (sink, victim_sink) = (Sink::keeping(), Sink::keeping());
        let survivor = Life::start(ANY, ca.node(survivor_id), sink.clone());
        let start_victim = |at: SocketAddr| {
            let victim = Life::start(at, ca.node(victim_id), victim_sink.clone());
            victim.endpoint.peer(NodeId(survivor_id), address(&survivor.endpoint));
            victim
        };
        let wait = |what: &str, condition: &mut dyn FnMut() -> bool| {
            let start = Instant::now();
            while !condition() {
                assert!(start.elapsed() < SOON, "waited too long: {what}");
                std::thread::sleep(Duration::from_millis(1));
            }
            start.elapsed()
        };

        let victim = start_victim(ANY);
        let port = victim.endpoint.local_address().unwrap();
        let handle = survivor.endpoint.peer(NodeId(victim_id), port.to_string());
        wait("connect", &mut || handle.is_connected() && victim_sink.events().len() == 1);
        victim.kill();
        std::thread::sleep(Duration::from_millis(100));
        assert!(handle.is_connected(), "a kill tells nobody: {:?}", sink.events());

        let victim = start_victim(port);
        let noticed = wait("notice", &mut || sink.events().len() >= 2);
        assert!(noticed < Duration::from_secs(1), "noticed after {noticed:?}");
        let back = wait("reconnect", &mut || handle.is_connected());
        assert!(back < Duration::from_secs(1), "reconnected after {back:?}");
        wait("a frame", &mut || {
            let _ = handle.send(Lane::Control, "again");
            victim_sink.count() > 0
        });
        // The one that dials learns it by a stateless reset, the other by the new connection.
        let expected = if survivor_id < victim_id { "restarted" } else { "newer connection" };
        let events = sink.events();
        assert!(events[1].contains(expected), "{events:?}");
        survivor.kill();
        victim.kill();
    }
}

/// A peer that is not there costs next to nothing, and is found when it comes.
#[tokio::test]
async fn a_dead_peer_is_dialed_calmly() {
    let ca = Authority::new();
    let free = std::net::UdpSocket::bind(ANY).unwrap().local_addr().unwrap();
    let sink = Sink::keeping();
    let one = bind(&ca.node(1), &sink);
    let to_two = one.peer(NodeId(2), free.to_string());
    assert_eq!(to_two.send(Lane::Raft, "x"), Err(SendError::NotConnected));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        (1..=3).contains(&one.stats().dials_failed.get()),
        "{}",
        one.stats().dials_failed.get()
    );
    let two =
        Endpoint::bind(free, &ca.node(2), node(1, 1), Options::default(), sink.clone()).unwrap();
    let to_one = two.peer(NodeId(1), address(&one));
    let start = Instant::now();
    until("it is found", || to_one.is_connected() && to_two.is_connected()).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // A port in use is an error with the address in it.
    let taken =
        Endpoint::bind(free, &ca.node(3), node(1, 1), Options::default(), sink).err().unwrap();
    assert!(taken.to_string().contains(&free.to_string()), "{taken}");
}

async fn futures<T: Send + 'static>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    for one in all {
        done.push(one.await);
    }
    done
}

/// Connections that do not keep the rules.
mod raw {
    use super::*;
    use crate::net::tls;
    use crate::net::wire::{Kind, Purpose, header};
    use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
    use quinn::{ClientConfig, Connection, ServerConfig};

    fn hello_of(identity: &Identity) -> Hello {
        Hello {
            oldest: PROTOCOL_OLDEST,
            newest: PROTOCOL_NEWEST,
            cluster: None,
            from: identity.role(),
            to: None,
            incarnation: Incarnation(1),
            boot: BootId(77),
            dial: 1,
            purpose: Purpose::Requests,
        }
    }

    async fn dial(identity: &Identity, target: &str, hello: &Hello) -> Result<Connection, String> {
        let quinn = quinn::Endpoint::client(ANY).unwrap();
        let config = QuicClientConfig::try_from(tls::client_config(identity).unwrap()).unwrap();
        let mut config = ClientConfig::new(Arc::new(config));
        config.transport_config(Options::default().transport(super::super::options::Allows::Lanes));
        let connection = quinn
            .connect_with(config, target.parse().unwrap(), "node.eraft")
            .unwrap()
            .await
            .map_err(|error| error.to_string())?;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let payload = hello.encode();
        let _ = send.write_all(&header(Kind::Hello, payload.len())).await;
        let _ = send.write_all(&payload).await;
        let _ = send.finish();
        match receive.read_to_end(4096).await {
            Ok(answer) if !answer.is_empty() => Ok(connection),
            _ => Err(told(&connection).await),
        }
    }

    async fn told(connection: &Connection) -> String {
        super::super::handshake::describe(&connection.closed().await)
    }

    pub(super) async fn hello(
        identity: &Identity,
        target: &str,
        change: impl FnOnce(&mut Hello),
    ) -> Result<(), String> {
        let mut hello = hello_of(identity);
        change(&mut hello);
        dial(identity, target, &hello).await.map(drop)
    }

    pub(super) async fn send_on_request_stream(
        identity: &Identity,
        target: &str,
        bytes: Vec<u8>,
    ) -> String {
        let connection = dial(identity, target, &hello_of(identity)).await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        let _ = send.write_all(&bytes).await;
        told(&connection).await
    }

    pub(super) async fn send_on_lane(identity: &Identity, target: &str) -> String {
        let connection = dial(identity, target, &hello_of(identity)).await.unwrap();
        let mut send = connection.open_uni().await.unwrap();
        let _ = send.write_all(&[1]).await;
        told(&connection).await
    }

    fn peer_hello(identity: &Identity) -> Hello {
        Hello { purpose: Purpose::Peer, ..hello_of(identity) }
    }

    pub(super) async fn send_on_peer_lanes(
        identity: &Identity,
        target: &str,
        streams: Vec<Vec<u8>>,
    ) -> String {
        let connection = dial(identity, target, &peer_hello(identity)).await.unwrap();
        let mut open = Vec::new();
        for bytes in streams {
            let mut send = connection.open_uni().await.unwrap();
            let _ = send.write_all(&bytes).await;
            open.push(send);
        }
        told(&connection).await
    }

    /// A peer that opens its connection, accepts the lanes and reads nothing.
    pub(super) async fn deaf_peer(
        identity: &Identity,
        target: &str,
    ) -> tokio::task::JoinHandle<()> {
        let connection = dial(identity, target, &peer_hello(identity)).await.unwrap();
        tokio::spawn(async move {
            let mut lanes = Vec::new();
            while let Ok(lane) = connection.accept_uni().await {
                lanes.push(lane);
            }
        })
    }

    /// A server with any certificate of the authority, also one that is not for servers.
    pub(super) fn serve_as(identity: &Identity) -> (tokio::task::JoinHandle<()>, SocketAddr) {
        let config = tls::server_config(identity).unwrap();
        let config = QuicServerConfig::try_from(config).unwrap();
        let endpoint =
            quinn::Endpoint::server(ServerConfig::with_crypto(Arc::new(config)), ANY).unwrap();
        let address = endpoint.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let _ = incoming.await;
            }
        });
        (task, address)
    }
}
