// Grafana's transformations that turn rows into a matrix, and fields from text into numbers.

const named = (field) => field.display ?? field.name;

export function groupingToMatrix(frames, { columnField, rowField, valueField, emptyValue = "empty" }) {
  return frames.map((frame) => {
    const find = (name) => frame.fields.find((field) => named(field) === name);
    const [column, row, value] = [find(columnField), find(rowField), find(valueField)];
    if (!column || !row || !value) return frame;
    const [columns, rows] = [column, row].map((field) => [...new Set(field.values)]);
    const cells = new Map(value.values.map((one, at) => [`${row.values[at]}\n${column.values[at]}`, one]));
    const empty = emptyValue === "null" ? null : emptyValue === "zero" ? 0 : "";
    return {
      ...frame,
      fields: [
        { ...row, name: `${rowField}\\${columnField}`, display: undefined, values: rows },
        ...columns.map((name) => ({
          ...value,
          name: String(name),
          display: undefined,
          values: rows.map((at) => cells.get(`${at}\n${name}`) ?? empty),
        })),
      ],
    };
  });
}

export function convertFieldType(frames, { conversions = [] }) {
  const kinds = new Map(conversions.map((one) => [one.targetField, one.destinationType]));
  const turn = { number: Number, string: String };
  return frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => {
      const kind = kinds.get(named(field));
      return turn[kind] ? { ...field, type: kind, values: field.values.map(turn[kind]) } : field;
    }),
  }));
}
