use super::*;
use std::sync::atomic::AtomicBool;

fn store(zones: &str) -> Store {
    let zones: Vec<_> = zones.split(' ').map(|zone| zone.parse().unwrap()).collect();
    Store::new(Arc::new(Zones::new(&zones)))
}

fn name(store: &Store, text: &str) -> ServiceName {
    store.zones().read(text).unwrap()
}

fn service(octets: &[u8]) -> Service {
    Service {
        records: octets
            .iter()
            .map(|octet| Ipv4Addr::new(192, 0, 2, *octet))
            .collect(),
        ttl: 0,
    }
}

fn is_below(store: &Store, text: &str) -> Option<u32> {
    let name: QName = text.parse().unwrap();
    store.table().get(name.as_wire()).map(|entry| entry.below())
}

#[test]
fn names_between_a_service_and_its_zone_are_there_as_long_as_it_is() {
    let store = store("example.org");
    for replaced in [false, true] {
        if replaced {
            let all = ["x.a.b", "a.b", "y.a.b"].map(|text| (name(&store, text), service(&[1])));
            store.replace(&all);
        } else {
            for text in ["x.a.b", "a.b", "y.a.b", "a.b"] {
                store.put(&name(&store, text), &service(&[1]));
            }
        }
        assert_eq!(is_below(&store, "a.b.example.org"), Some(2));
        assert_eq!(is_below(&store, "b.example.org"), Some(3));
        assert_eq!(is_below(&store, "example.org"), None);
        assert!(store.delete(&name(&store, "a.b")));
        assert_eq!(store.get(&name(&store, "a.b")), None);
        assert_eq!(is_below(&store, "a.b.example.org"), Some(2));
        assert!(store.delete(&name(&store, "x.a.b")) && store.delete(&name(&store, "y.a.b")));
        assert!(
            !store.delete(&name(&store, "a.b")),
            "a name on the way is no service"
        );
        assert_eq!(
            (
                is_below(&store, "a.b.example.org"),
                is_below(&store, "b.example.org")
            ),
            (None, None)
        );
    }
}

#[test]
fn totals_and_serial_follow_each_write() {
    let store = store("example.org example.net");
    let mut serials = vec![store.serial()];
    let mut check = |what: &str, want: [(usize, usize); 2]| {
        let totals: Vec<_> = store
            .totals()
            .iter()
            .map(|total| (total.services, total.records))
            .collect();
        assert_eq!(totals, want, "{what}");
        assert!(store.serial() > *serials.last().unwrap(), "{what}");
        serials.push(store.serial());
    };
    store.put(&name(&store, "a"), &service(&[1, 2]));
    check("put", [(1, 2), (0, 0)]);
    store.put(&name(&store, "a"), &service(&[1, 2, 3]));
    check("put again", [(1, 3), (0, 0)]);
    store
        .add(&name(&store, "b.example.net"), &service(&[1]).records, 0)
        .unwrap();
    check("add", [(1, 3), (1, 1)]);
    assert_eq!(
        store.remove(&name(&store, "a"), &service(&[2, 9]).records),
        Removed::Left(service(&[1, 3]))
    );
    check("remove", [(1, 2), (1, 1)]);
    assert_eq!(
        store.remove(&name(&store, "a"), &service(&[1, 3]).records),
        Removed::Deleted
    );
    check("remove the rest", [(0, 0), (1, 1)]);
    store.replace(&[(name(&store, "c"), service(&[1, 2]))]);
    check("replace", [(1, 2), (0, 0)]);
    assert_eq!(store.remove(&name(&store, "a"), &[]), Removed::Missing);
    assert_eq!(store.serial(), *serials.last().unwrap(), "nothing was written");
}

#[test]
fn a_replacement_names_what_it_changed() {
    let store = store("example.org");
    let all = |entries: &[(&str, u8)]| -> Vec<_> {
        entries
            .iter()
            .map(|(text, octet)| (name(&store, text), service(&[*octet])))
            .collect()
    };
    store.replace(&all(&[("same", 1), ("other", 1), ("gone", 1)]));
    let Changed::Names(names) = store.replace(&all(&[("same", 1), ("other", 2), ("new", 1)])) else {
        panic!("three names can be named");
    };
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(
        names,
        ["gone.example.org.", "new.example.org.", "other.example.org."]
    );
    let many: Vec<_> = (0..2000)
        .map(|number| (name(&store, &format!("n{number}")), service(&[1])))
        .collect();
    assert_eq!(store.replace(&many), Changed::Many);
}

#[test]
fn no_reader_sees_half_of_a_replacement() {
    const NAMES: usize = 2000;
    let store = Arc::new(store("example.org"));
    let names: Vec<_> = (0..NAMES)
        .map(|number| name(&store, &format!("n{number}")))
        .collect();
    let state = |octet: u8| -> Vec<_> {
        names
            .iter()
            .map(|name| (name.clone(), service(&[octet])))
            .collect()
    };
    store.replace(&state(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let table = store.table();
                    let octet = |name: &ServiceName| table.get(name.wire()).unwrap().addresses()[3];
                    let first = octet(&names[0]);
                    assert!(names.iter().all(|name| octet(name) == first));
                }
            });
        }
        for octet in 1..40 {
            store.replace(&state(octet));
        }
        done.store(true, Ordering::Relaxed);
    });
}
