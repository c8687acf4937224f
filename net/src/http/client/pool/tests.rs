use super::*;

fn key(number: usize, https: bool) -> Key {
    let host = format!("host-{number}.example");
    Key { origin: Origin { https, host, port: 1 }, prior_knowledge: false, runtime: None }
}

/// As many hosts as there are, each had a connection once.
fn visited(https: bool) -> Rc<Pool> {
    let pool = Pool::new(Rules::default());
    for number in 0..3 * KNOWN_MAX {
        let key = key(number, https);
        let Checkout::Dial(place) = pool.checkout(&key, false) else { panic!("there is none yet") };
        if let Some(host) = pool.hosts.borrow_mut().get_mut(&key) {
            host.http2 = Some(https);
        }
        drop(place);
    }
    pool
}

#[test]
fn hosts_that_were_visited_once_take_no_room_for_ever() {
    assert_eq!(visited(false).hosts.borrow().len(), 0);
    assert_eq!(visited(true).hosts.borrow().len(), KNOWN_MAX);
}
