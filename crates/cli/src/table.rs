//! Tables for people: at most a hundred columns.

use std::io::{self, Write};

use poolscope::explain::{EndpointView, Port, ServiceView};
use poolscope::{Rewrite, Topology};

/// The columns that a table may take.
pub(crate) const WIDTH: usize = 100;

/// Rows of cells, printed with columns as wide as they need to be; the last one is cut to fit.
pub(crate) struct Table {
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    /// A line of its own, which makes no column wider.
    Title(String),
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Table {
        Table { rows: vec![Row::Cells(head.map(str::to_owned).to_vec())] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Row::Cells(cells.to_vec()));
    }

    pub(crate) fn title(&mut self, text: String) {
        self.rows.push(Row::Title(text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let line = match row {
                Row::Title(text) => text.clone(),
                Row::Cells(cells) => cells
                    .iter()
                    .zip(&widths)
                    .map(|(cell, &width)| format!("{cell:width$}  "))
                    .collect(),
            };
            writeln!(out, "{}", fit(line.trim_end(), WIDTH))?;
        }
        Ok(())
    }
}

/// The text, cut to `width` columns with a mark that it was.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        text.to_owned()
    } else {
        text.chars().take(width - 1).chain(['…']).collect()
    }
}

/// Services as `cilium-dbg service list` prints them: a numbered row for each frontend, with the
/// backends it sends to.
pub(crate) fn services(views: &[ServiceView], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["ID", "FRONTEND", "TYPE", "BACKEND"]);
    let mut id = 0;
    for view in views {
        if !view.visible {
            table.title(format!(
                "{}/{}: filtered out by {} ({}):",
                view.namespace,
                view.name,
                view.rewrite.map_or("", Rewrite::name),
                view.rule
            ));
            table.title(format!("    {}", view.why));
            continue;
        }
        let dropped = view.endpoints.len() - view.kept();
        let dropped = if dropped > 0 { format!(", {dropped} dropped") } else { String::new() };
        let (topology, kept, all) =
            (view.topology.map_or("unknown", Topology::name), view.kept(), view.endpoints.len());
        table.title(format!(
            "{}/{} ({topology}): {kept} of {all} endpoints kept{dropped}",
            view.namespace, view.name
        ));
        for frontend in &view.frontends {
            id += 1;
            let mut backends: Vec<String> = view
                .backends(frontend)
                .into_iter()
                .enumerate()
                .map(|(at, (endpoint, port))| backend(at + 1, endpoint, port))
                .collect();
            if backends.is_empty() {
                backends.push("no backend".to_owned());
            }
            let mut first = [id.to_string(), frontend.address.clone(), frontend.r#type.to_owned()];
            for backend in backends {
                let [id, address, r#type] = std::mem::take(&mut first);
                table.row([id, address, r#type, backend]);
            }
        }
    }
    table.print(out)
}

fn backend(number: usize, endpoint: &EndpointView, port: &Port) -> String {
    let address = if endpoint.address.contains(':') {
        format!("[{}]", endpoint.address)
    } else {
        endpoint.address.clone()
    };
    let node = endpoint.node.as_deref().unwrap_or("no node");
    format!(
        "{number} => {address}:{}/{} ({}) {node}",
        port.port,
        port.protocol,
        endpoint.state.word()
    )
}
