"""What mkdocs does beside building docs/: pages from elsewhere, generated parts, checks.

Warnings end a strict build.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.making import command_pages, formulas, holds, links, record_page, setting_pages

_LOG = logging.getLogger("mkdocs.hooks.docs")
# A line of a page, and what stands in its place on the site.
_GENERATED = {
    "settings": setting_pages.settings,
    "record": record_page.fields,
    "commands": command_pages.commands,
}
_LINE = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_PATHS: dict[str, str] = {}  # from places on the site to files of the repository


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the texts that lie outside docs/, and the sources that pages link to."""
    own = {f"docs/{f.src_uri}": f.content_string for f in files.documentation_pages()}
    outside = {
        path: (links.ROOT / path).read_text(encoding="utf-8")
        for path, place in links.OUTSIDE.items()
        if files.get_file_from_path(place) is None
    }
    texts = own | outside
    sources = {s for path, text in texts.items() for s in links.sources_in(text, path)}
    shown = outside | {path: links.shown(path) for path in sources}
    for path, text in shown.items():
        files.append(File.generated(config, links.place_of(path), content=text))
    _PATHS.update({links.place_of(path): path for path in (*own, *outside)})
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the generated parts of a page, and its links as the site has them."""
    path = _PATHS.get(page.file.src_uri)
    if path is None:  # a source is shown as it is
        return markdown
    text = links.for_the_site(markdown, path)
    return _LINE.sub(lambda found: _GENERATED[found[1]](), text)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw formulas."""
    return formulas.as_mathml(html)


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of what a reader would miss."""
    for fault in holds.faults_of(Path(config.site_dir)):
        _LOG.warning(fault)
