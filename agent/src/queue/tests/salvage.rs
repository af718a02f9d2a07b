//! Damage of the file: it opens whatever lies there, and what was not damaged is there.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use super::*;

const PAGE: u64 = 4096;

impl Store {
    /// Four hundred reports to two destinations, a third of them sent to the first; closed.
    async fn filled() -> Self {
        let mut store = Self::new(TWO);
        for n in 0..40_u8 {
            let ids: Vec<u8> = (0..10).map(|m| n.wrapping_mul(6).wrapping_add(m % 6)).collect();
            let mut file = store.file(&format!("/in/{n}.json"), &ids);
            for (m, entry) in file.entries.iter_mut().enumerate() {
                let mut id = [n; 16];
                id[0] = u8::try_from(m).unwrap();
                entry.report_id = ReportId::from_bytes(id);
                entry.serial = format!("SN-{n:02}-{m}");
                let body = format!("{{\"sn\":\"SN-{n:02}-{m}\",\"noise\":\"{}\"}}", CorrelationId::new().to_string().repeat(20));
                entry.payload = Payload::new(body.into_bytes(), &store.places().spool).unwrap();
            }
            store.commit(file).await.unwrap();
        }
        for ready in store.ready("main").await {
            store.outcome(&ready.key, Outcome::Sent { receipt: "r".into(), address: "a".into() }).await;
        }
        store.close().await;
        store
    }

    fn pages(&self) -> u64 {
        std::fs::metadata(self.places().database).unwrap().len() / PAGE
    }

    fn change_page(&self, page: u64, change: impl FnOnce(&mut [u8])) {
        let mut file = std::fs::OpenOptions::new().read(true).write(true).open(self.places().database).unwrap();
        let mut bytes = vec![0; usize::try_from(PAGE).unwrap()];
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        change(&mut bytes);
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        file.write_all(&bytes).unwrap();
    }

    /// Which reports are there whole, by serial number; all that is ready to go to the second destination, to which nothing was sent.
    async fn whole(&self) -> HashSet<String> {
        let mut whole = HashSet::new();
        let mut except = HashSet::new();
        loop {
            let ready = self.queue().reader.ready("second", 1000, except.clone()).await.unwrap().deliveries;
            if ready.is_empty() {
                return whole;
            }
            for delivery in ready {
                except.insert(delivery.key.entry);
                if delivery.body.is_ok() {
                    whole.insert(delivery.key.serial);
                }
            }
        }
    }

    fn aside(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.to_string_lossy().contains(".corrupt-")).collect()
    }

    async fn copy(&self) -> Self {
        let copy = Self::empty();
        for name in ["queue.db", "queue.mark"] {
            std::fs::copy(self.folder.path().join(name), copy.folder.path().join(name)).unwrap();
        }
        copy
    }
}

#[tokio::test]
async fn whichever_page_is_damaged_it_opens_and_nearly_everything_is_there() {
    let original = Store::filled().await;
    let pages = original.pages();
    assert!(pages > 60, "{pages} pages");
    let mut least = usize::MAX;
    for page in 0..pages {
        // In turn: zeroed, flipped, filled with noise.
        let mut store = original.copy().await;
        store.change_page(page, |bytes| match page % 3 {
            0 => bytes.fill(0),
            1 => bytes.iter_mut().for_each(|byte| *byte ^= 0xff),
            _ => fastrand::Rng::with_seed(page).fill(bytes),
        });
        store.open(TWO);
        let found = store.queue().found.clone();
        // A store that shows its damage only when that page is read is looked at in the background, and salvaged at the next start.
        if found.salvaged.is_none() {
            let checked = check(&store.places(), std::time::Duration::from_secs(60)).unwrap();
            assert!(!checked.faults.is_empty(), "page {page}: damage that nothing notices");
            store.close().await;
            std::fs::write(store.folder.path().join("queue.mark"), "damaged: as a test noticed").unwrap();
            store.open(TWO);
        }
        let found = store.queue().found.clone();
        let salvaged = found.salvaged.expect("it was damaged");
        assert_eq!(found.losses, 1, "page {page}: it is shown");
        assert!(!store.aside().is_empty(), "page {page}: the damaged file is kept");
        let whole = store.whole().await.len();
        // The first page holds the way to all others.
        if page > 0 {
            assert!(whole >= 400 - 40, "page {page}: {whole} reports are whole; {salvaged:?}");
            least = least.min(whole);
        }
        let checked = check(&store.places(), std::time::Duration::from_secs(60)).unwrap();
        assert!(checked.faults.iter().all(|fault| fault.error.code == Code::PayloadDamaged), "page {page}: {:?}", checked.faults);
        store.add("/new", &[250]).await.unwrap();
        store.close().await;
    }
    assert!(least < 400, "some page held a report");
}

#[tokio::test]
async fn a_truncated_file_gives_what_is_left_of_it() {
    let original = Store::filled().await;
    for part in [10, 50, 90] {
        let mut store = original.copy().await;
        let database = store.places().database;
        let length = original.pages() * part / 100 * PAGE + 17;
        std::fs::OpenOptions::new().write(true).open(&database).unwrap().set_len(length).unwrap();
        store.open(TWO);
        let salvaged = store.queue().found.salvaged.clone().expect("it was damaged");
        assert_eq!(store.queue().found.losses, 1, "{part} %: {salvaged:?}");
        store.add("/new", &[250]).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_of_nothing_or_of_something_else_is_set_aside_and_said() {
    let original = Store::filled().await;
    for (name, bytes) in
        [("nothing", &b""[..]), ("words", b"this is no database, and never was one; it is only text"), ("zeros", &[0; 8192])]
    {
        let mut store = original.copy().await;
        std::fs::write(store.places().database, bytes).unwrap();
        store.open(TWO);
        let found = store.queue().found.clone();
        assert_eq!(found.losses, 1, "{name}");
        assert_eq!(found.salvaged.unwrap().reports, None, "{name}: nobody can know how many they were");
        assert_eq!(store.aside().is_empty(), name == "nothing", "{name}");
        store.add("/new", &[250]).await.unwrap();
        store.crash_and_open(TWO).await;
        assert_eq!(store.queue().found.losses, 1, "{name}: until somebody says that he has seen it");
        store.queue().writer.ask(|ack| Command::LossesSeen { ack }).await.unwrap();
        store.crash_and_open(TWO).await;
        assert_eq!(store.queue().found.losses, 0, "{name}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_noticed_only_if_the_queue_was_not_closed() {
    let original = Store::filled().await;
    let mut store = original.copy().await;
    store.open(TWO);
    assert!(store.queue().found.salvaged.is_none(), "it was closed: there is no log to miss");
    // As a kill leaves it: everything since the opening is in the log.
    store.add("/late", &[251]).await.unwrap();
    let killed = Store::empty();
    for name in ["queue.db", "queue.mark"] {
        std::fs::copy(store.folder.path().join(name), killed.folder.path().join(name)).unwrap();
    }
    store.close().await;
    let mut killed = killed;
    killed.open(TWO);
    let found = killed.queue().found.clone();
    assert!(found.salvaged.unwrap().what.contains("log of the queue is gone"));
    assert_eq!(killed.whole().await.len(), 400, "what was in the file is there");
    killed.close().await;
}

#[tokio::test]
async fn a_crash_while_it_is_set_aside_or_rebuilt_loses_nothing_more() {
    let mut store = Store::filled().await;
    store.change_page(0, |bytes| bytes[100..].fill(0));
    // As a crash after the renames leaves it, with half a new store.
    let aside = store.folder.path().join("queue.corrupt-20260101T000000Z.db");
    std::fs::rename(store.places().database, &aside).unwrap();
    std::fs::write(store.folder.path().join("queue.new.db"), b"half").unwrap();
    let original = Store::filled().await;
    std::fs::copy(original.places().database, &aside).unwrap();
    store.open(TWO);
    assert_eq!(store.whole().await.len(), 400, "the file that was set aside is read once more");
    assert_eq!(store.queue().found.salvaged.as_ref().unwrap().kept_at.as_deref(), Some(&*aside));
    store.close().await;
}

#[tokio::test]
async fn a_copy_made_while_others_write_is_whole() {
    let mut store = Store::new(ONE);
    for n in 0..50 {
        store.add(&format!("/{n}"), &[n]).await.unwrap();
    }
    let (database, folder) = (store.places().database, store.folder.path().join("backups"));
    let copies = tokio::task::spawn_blocking(move || {
        (0..5).map(|_| backup(&database, &folder, Timestamp::now()).unwrap()).collect::<Vec<_>>()
    });
    for n in 50..150 {
        store.add(&format!("/{n}"), &[n]).await.unwrap();
    }
    let copies = copies.await.unwrap();
    let left: Vec<_> = copies.iter().filter(|copy| copy.exists()).collect();
    assert_eq!(left.len(), 3, "older copies go");
    let mut restored = Store::empty();
    std::fs::copy(left[2], restored.places().database).unwrap();
    restored.open(ONE);
    assert!(restored.queue().found.salvaged.is_none());
    let counts = restored.queue().deliveries["main"];
    assert!((50..=150).contains(&counts.pending));
    let checked = check(&restored.places(), std::time::Duration::from_secs(60)).unwrap();
    assert!(checked.faults.is_empty(), "{:?}", checked.faults);
    restored.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_crash_between_the_store_and_its_log_keeps_them_together() {
    let mut store = Store::filled().await;
    store.open(TWO);
    store.add("/late", &[251]).await.unwrap();
    // As a kill leaves it, with the last report in the log only; then as a crash leaves it after the first rename.
    let mut crashed = Store::empty();
    let to = |name: &str| crashed.folder.path().join(name);
    let aside = to("queue.corrupt-20260101T000000Z.db");
    std::fs::copy(store.places().database, &aside).unwrap();
    for name in ["queue.db-wal", "queue.mark"] {
        std::fs::copy(store.folder.path().join(name), to(name)).unwrap();
    }
    store.close().await;
    crashed.open(TWO);
    assert_eq!(crashed.whole().await.len(), 401, "what was in the log is there as well");
    assert_eq!(crashed.queue().found.salvaged.as_ref().unwrap().kept_at.as_deref(), Some(&*aside));
    crashed.close().await;
}
