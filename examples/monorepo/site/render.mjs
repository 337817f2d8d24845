// Renders a page for each post, and a list of all. No packages, plain Node.js.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [title, folder, index, template] = process.argv.slice(2);
const posts = JSON.parse(readFileSync(index, "utf8"));
const page = readFileSync(template, "utf8");

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const fill = (values) => page.replace(/\{\{(\w+)\}\}/g, (_, name) => values[name]);

mkdirSync(folder, { recursive: true });
for (const post of posts) {
  const content = `<p>${escape(post.date)}</p>\n<p>${escape(post.body)}</p>`;
  writeFileSync(join(folder, `${post.address}.html`), fill({ title: escape(post.title), content }));
}
const items = posts.map((post) => `<li><a href="${post.address}.html">${escape(post.title)}</a></li>`);
writeFileSync(join(folder, "index.html"), fill({ title: escape(title), content: `<ul>\n${items.join("\n")}\n</ul>` }));
