//! `import`: what a snippet, a file or a pattern puts in its place.

use std::{path::Path, sync::Arc};

use super::{
    super::{ConfigError, ConfigWarning, ImportSite, Source, Span, Token, import, lexer},
    Fatal, Parser, parse_error,
};

impl Parser<'_> {
    /// Replaces `import` and its argument by what they name. What cannot be imported is an error, and left out.
    pub(super) fn import(&mut self) -> Result<(), Fatal> {
        let last = self.last.take();
        let followed = self.import_words();
        // Both words are gone as if they had never been there, so lines are told by the word before them.
        self.last = last;
        match followed {
            Ok(words) => self.coming.push(words.into_iter()),
            Err(error) => self.errors.push(error),
        }
        if self.imports > self.rules.limits.imports {
            Err(Fatal)
        } else {
            Ok(())
        }
    }

    fn import_words(&mut self) -> Result<Vec<Token>, ConfigError> {
        let Some(import) = self.take(false) else {
            return Ok(Vec::new());
        };
        if !self.peek().is_some_and(|next| import.line_goes_on(next)) {
            let message = "Wrong argument count or unexpected line ending after 'import'";
            return Err(parse_error(import.span(), message).with_expected("a snippet, file or pattern"));
        }
        let Some(target) = self.take(true) else {
            return Ok(Vec::new());
        };
        if target.as_bytes().is_empty() {
            return Err(parse_error(target.span(), "Import requires a non-empty filepath"));
        }
        if self.peek().is_some_and(|next| target.line_goes_on(next)) {
            let message = "Import takes only one argument (glob pattern or file)";
            let error = parse_error(target.span(), message);
            self.skip_line(&target);
            return Err(error);
        }
        match self.snippets.get(target.as_str()) {
            Some(words) => {
                let words = words.clone();
                self.imported_snippet(&target, words)
            }
            None => self.imported_files(&target),
        }
    }

    fn skip_line(&mut self, from: &Token) {
        let mut last = from.clone();
        while self
            .peek()
            .is_some_and(|next| last.line_goes_on(next) && *next != "{" && *next != "}")
        {
            match self.take(false) {
                Some(word) => last = word,
                None => return,
            }
        }
    }

    fn imported_snippet(&mut self, target: &Token, mut words: Vec<Token>) -> Result<Vec<Token>, ConfigError> {
        let site = self.site(target.span(), target.as_str(), true)?;
        let max = self.rules.limits.words;
        self.words += words.len();
        if self.words > max {
            self.imports = usize::MAX;
            return Err(parse_error(target.span(), &format!("more than {max} words")));
        }
        for word in &mut words {
            word.span_mut().imports = Some(Arc::clone(&site));
        }
        Ok(words)
    }

    fn imported_files(&mut self, target: &Token) -> Result<Vec<Token>, ConfigError> {
        let folder = target
            .span()
            .source
            .path()
            .and_then(Path::parent)
            .unwrap_or(&self.folder);
        let paths =
            import::find(target.as_bytes(), folder).map_err(|error| self.import_error(target, &error))?;
        if paths.is_empty() {
            let message = format!("No files matching import glob pattern: {target}");
            self.warnings
                .push(ConfigWarning::new(target.span().clone(), message));
        }
        let mut words = Vec::new();
        for path in paths {
            let site = self.site(target.span(), &path.to_string_lossy(), false)?;
            let bytes = self.read(target, &path)?;
            let source = Source::new(path.to_string_lossy(), Some(path.clone()), lexer::decode(&bytes));
            if !self.files.contains(&path) {
                self.files.push(path);
            }
            let mut found = self.lex(source).inspect_err(|_| self.imports = usize::MAX)?;
            for word in &mut found {
                word.span_mut().imports = Some(Arc::clone(&site));
            }
            words.append(&mut found);
        }
        Ok(words)
    }

    fn read(&mut self, target: &Token, path: &Path) -> Result<Vec<u8>, ConfigError> {
        let limits = &self.rules.limits;
        let bytes =
            import::read(path, limits.file_bytes).map_err(|error| self.import_error(target, &error))?;
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > limits.total_bytes {
            self.imports = usize::MAX;
            let message = format!("more than {} bytes in all files", limits.total_bytes);
            return Err(parse_error(target.span(), &message));
        }
        Ok(bytes)
    }

    fn import_error(&self, target: &Token, error: &import::ImportError) -> ConfigError {
        let found = parse_error(target.span(), &error.to_string());
        match error {
            import::ImportError::NotFound(_) => {
                found.with_nearest(target.as_str(), self.snippets.keys().map(String::as_str))
            }
            _ => found,
        }
    }

    /// Notes an import, unless it leads back to itself or is one too many.
    fn site(&mut self, span: &Span, target: &str, is_snippet: bool) -> Result<Arc<ImportSite>, ConfigError> {
        let again = |site: &ImportSite| site.is_snippet == is_snippet && site.target == target;
        let is_corefile = !is_snippet && self.path.as_deref() == Some(Path::new(target));
        if is_corefile || span.import_chain().any(again) {
            return Err(parse_error(
                span,
                &format!("import loop: {target} leads back to itself"),
            ));
        }
        let limits = &self.rules.limits;
        let depth = span.imports.as_ref().map_or(1, |site| site.depth + 1);
        if depth > limits.import_depth {
            return Err(parse_error(
                span,
                &format!("maximum import depth ({}) exceeded", limits.import_depth),
            ));
        }
        self.imports += 1;
        if self.imports > limits.imports {
            return Err(parse_error(
                span,
                &format!("maximum number of imports ({}) exceeded", limits.imports),
            ));
        }
        Ok(Arc::new(ImportSite {
            span: span.clone(),
            target: target.to_owned(),
            depth,
            is_snippet,
        }))
    }

    /// A snippet that names itself could never be used, so it is refused even if it never is.
    pub(super) fn refuse_self_import(&mut self, words: &[Token], name: &str) {
        for (index, pair) in words.windows(2).enumerate() {
            let [word, target] = pair else { continue };
            let at_line_start = index == 0 || {
                let before = words[index - 1].span();
                !before.same_source(word.span()) || before.line != word.span().line
            };
            let mut target = target.clone();
            if *word == "import" && at_line_start {
                self.expand(&mut target);
                if target == name {
                    self.errors.push(parse_error(
                        target.span(),
                        &format!("import loop: snippet {name} imports itself"),
                    ));
                }
            }
        }
    }
}
