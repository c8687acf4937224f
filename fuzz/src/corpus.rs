//! All that is in `corpus/` again, with every run of the tests: what was found once stays mended.

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&directory).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let input = std::fs::read(&path).expect("an input");
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            panic!("{}: see above", path.display());
        }
        replayed += 1;
    }
    println!("{name}: {replayed} inputs");
    assert!(replayed > 0, "{} is empty", directory.display());
}

macro_rules! replays {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            replay(stringify!($name), crate::$name::run);
        }
    )*};
}

replays!(dns_answer, grpc, http_client, http_server, names, resolver_files, tls, wheel);
