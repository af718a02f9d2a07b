//! Pages. A new one is a file and a line in [`all`].

use eframe::egui::Ui;

use crate::command::Command;
use crate::model::Model;

mod dashboard;

pub use dashboard::Dashboard;

/// A page: draws the model, and says what a person asked for. It never waits, and keeps nothing of the agent's.
pub trait Page {
    /// Its name in the list of pages.
    fn title(&self) -> &'static str;

    /// It comes on screen: what it needs from the agent from now on.
    fn open(&mut self) -> Vec<Command> {
        Vec::new()
    }

    /// It leaves the screen: ends what [`Page::open`] began.
    fn close(&mut self) -> Vec<Command> {
        Vec::new()
    }

    /// Draws it.
    fn ui(&mut self, ui: &mut Ui, model: &Model) -> Vec<Command>;
}

/// All pages, in the order of the list; the first is shown first.
#[must_use]
pub fn all() -> Vec<Box<dyn Page>> {
    vec![Box::new(Dashboard::default())]
}

/// The pages, of which one is open.
pub struct Pages {
    pages: Vec<Box<dyn Page>>,
    current: usize,
    opened: bool,
}

impl Pages {
    /// The first of `pages` will be shown.
    #[must_use]
    pub fn new(pages: Vec<Box<dyn Page>>) -> Self {
        Self { pages, current: 0, opened: false }
    }

    /// Titles of the pages, and whether each is the one on screen.
    pub fn titles(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.pages.iter().enumerate().map(|(i, page)| (page.title(), i == self.current))
    }

    /// True if there is something to choose.
    #[must_use]
    pub fn is_choice(&self) -> bool {
        self.pages.len() > 1
    }

    /// Shows another page: the old one is closed before the new one is opened.
    pub fn select(&mut self, index: usize) -> Vec<Command> {
        if index == self.current || index >= self.pages.len() {
            return Vec::new();
        }
        let mut commands = self.close();
        self.current = index;
        commands.extend(self.open());
        commands
    }

    /// Draws the current page.
    pub fn ui(&mut self, ui: &mut Ui, model: &Model) -> Vec<Command> {
        let mut commands = self.open();
        if let Some(page) = self.pages.get_mut(self.current) {
            commands.extend(page.ui(ui, model));
        }
        commands
    }

    /// The window closes.
    pub fn close(&mut self) -> Vec<Command> {
        if !std::mem::take(&mut self.opened) {
            return Vec::new();
        }
        self.pages.get_mut(self.current).map(|page| page.close()).unwrap_or_default()
    }

    fn open(&mut self) -> Vec<Command> {
        if std::mem::replace(&mut self.opened, true) {
            return Vec::new();
        }
        self.pages.get_mut(self.current).map(|page| page.open()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    struct Noted(&'static str, Rc<RefCell<Vec<String>>>);

    impl Page for Noted {
        fn title(&self) -> &'static str {
            self.0
        }
        fn open(&mut self) -> Vec<Command> {
            self.1.borrow_mut().push(format!("open {}", self.0));
            vec![Command::Reconnect]
        }
        fn close(&mut self) -> Vec<Command> {
            self.1.borrow_mut().push(format!("close {}", self.0));
            Vec::new()
        }
        fn ui(&mut self, _: &mut Ui, _: &Model) -> Vec<Command> {
            Vec::new()
        }
    }

    #[test]
    fn a_page_is_closed_before_the_next_is_opened_and_never_twice() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let page = |name| Box::new(Noted(name, Rc::clone(&notes))) as Box<dyn Page>;
        let mut pages = Pages::new(vec![page("a"), page("b")]);
        assert_eq!(pages.open(), [Command::Reconnect]);
        assert!(pages.open().is_empty());
        assert!(pages.select(0).is_empty(), "it is there already");
        assert!(pages.select(7).is_empty(), "there is none");
        assert_eq!(pages.select(1), [Command::Reconnect]);
        pages.close();
        pages.close();
        assert_eq!(*notes.borrow(), ["open a", "close a", "open b", "close b"]);
        assert_eq!(pages.titles().collect::<Vec<_>>(), [("a", false), ("b", true)]);
    }

    #[test]
    fn a_hundred_changes_leave_as_many_pages_open_as_there_were() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let page = |name| Box::new(Noted(name, Rc::clone(&notes))) as Box<dyn Page>;
        let mut pages = Pages::new(vec![page("a"), page("b")]);
        pages.open();
        for i in 1..=100 {
            pages.select(i % 2);
        }
        let notes = notes.borrow();
        let opened = notes.iter().filter(|note| note.starts_with("open")).count();
        assert_eq!(opened, notes.len() - opened + 1);
    }
}
