// The page: talks to /api, draws the board. Texts of people go into the page as text, never as markup.
const COLUMNS = { todo: 'To do', doing: 'Doing', done: 'Done' };
const $ = (selector, within = document) => within.querySelector(selector);

let session = null;
let members = [];
let tasks = [];
let edited = null; // the task in the dialog, null for a new one

async function call(method, path, body) {
  const headers = {};
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (session) headers['x-csrf-token'] = session.csrf;
  const answer = await fetch(`/api/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const result = answer.status === 204 ? null : await answer.json();
  if (answer.ok) return result;
  if (answer.status === 401 && session) leave();
  throw new Error(result.error);
}

// Runs what a person asked for; what goes wrong is said where they look.
async function attempt(place, action) {
  const error = $('.error', place);
  error.hidden = true;
  try {
    await action();
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
  }
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function fieldsOf(form) {
  return Object.fromEntries(new FormData(form));
}

async function enter(opened) {
  session = opened;
  $('#team').textContent = session.team.name;
  $('#who').textContent = session.user.name;
  document.title = `${session.team.name} · Task board`;
  ({ members } = await call('GET', 'members'));
  await refresh();
  $('#door').hidden = true;
  $('#desk').hidden = false;
}

function leave() {
  session = null;
  document.title = 'Task board';
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  $('#desk').hidden = true;
  $('#door').hidden = false;
}

async function refresh() {
  ({ tasks } = await call('GET', 'tasks'));
  draw();
}

function draw() {
  const focused = document.activeElement?.dataset?.focus;
  $('#board').replaceChildren(...Object.keys(COLUMNS).map(columnOf));
  if (focused) $(`[data-focus="${focused}"]`)?.focus();
}

function columnOf(column) {
  const here = tasks.filter((task) => task.column === column);
  const list = element('ol', {}, ...here.map((task, at) => cardOf(task, at, here.length)));
  const add = element('button', { type: 'button', textContent: '+ Add a task', onclick: () => edit(null, column) });
  const heading = element('h2', {}, COLUMNS[column], element('span', { textContent: here.length }));
  const made = element('section', { className: 'column' }, heading, list, add);
  made.dataset.column = column;
  made.setAttribute('aria-label', COLUMNS[column]);
  made.ondragover = (event) => {
    event.preventDefault();
    made.classList.add('over');
  };
  made.ondragleave = () => made.classList.remove('over');
  made.ondrop = (event) => {
    event.preventDefault();
    made.classList.remove('over');
    const id = event.dataTransfer.getData('text/plain');
    const others = [...list.children].filter((card) => card.dataset.id !== id);
    const below = others.findIndex((card) => event.clientY < card.getBoundingClientRect().top + card.offsetHeight / 2);
    move(id, column, below < 0 ? others.length : below);
  };
  return made;
}

function cardOf(task, at, count) {
  const columns = Object.keys(COLUMNS);
  const place = columns.indexOf(task.column);
  const person = members.find((member) => member.id === task.assignee);
  const title = element('button', {
    type: 'button', className: 'title', textContent: task.title, onclick: () => edit(task, task.column),
  });
  title.dataset.focus = `${task.id} title`;
  const arrow = (sign, label, possible, column, position) => {
    const made = element('button', {
      type: 'button', textContent: sign, title: label, disabled: !possible, onclick: () => move(task.id, column, position),
    });
    made.setAttribute('aria-label', `${label}: ${task.title}`);
    made.dataset.focus = `${task.id} ${sign}`;
    return made;
  };
  const foot = element(
    'div', { className: 'foot' },
    element('span', { className: 'person', textContent: person ? person.name : '' }),
    arrow('↑', 'Up', at > 0, task.column, at - 1),
    arrow('↓', 'Down', at < count - 1, task.column, at + 1),
    arrow('←', `To ${COLUMNS[columns[place - 1]]}`, place > 0, columns[place - 1]),
    arrow('→', `To ${COLUMNS[columns[place + 1]]}`, place < columns.length - 1, columns[place + 1]),
  );
  const card = element('li', { className: 'task', draggable: true }, title);
  if (task.notes) card.append(element('p', { className: 'notes', textContent: task.notes }));
  card.append(foot);
  card.dataset.id = task.id;
  card.ondragstart = (event) => {
    event.dataTransfer.setData('text/plain', task.id);
    card.classList.add('dragged');
  };
  card.ondragend = () => card.classList.remove('dragged');
  return card;
}

function move(id, column, position) {
  return attempt($('#desk'), async () => {
    await call('PATCH', `tasks/${encodeURIComponent(id)}`, { column, position });
    await refresh();
  });
}

function edit(task, column) {
  edited = task;
  const dialog = $('#task-dialog');
  const form = $('form', dialog);
  $('#task-heading').textContent = task ? 'Task' : 'New task';
  $('#delete-task').hidden = !task;
  $('.error', dialog).hidden = true;
  form.elements.column.replaceChildren(
    ...Object.entries(COLUMNS).map(([value, textContent]) => element('option', { value, textContent })));
  form.elements.assignee.replaceChildren(
    element('option', { value: '', textContent: 'nobody yet' }),
    ...members.map(({ id, name }) => element('option', { value: id, textContent: name })));
  form.elements.title.value = task?.title ?? '';
  form.elements.notes.value = task?.notes ?? '';
  form.elements.column.value = column;
  form.elements.assignee.value = task?.assignee ?? '';
  dialog.showModal();
}

function drawMembers() {
  $('#members').replaceChildren(...members.map(({ name, email, role }) => element(
    'li', {}, element('span', { textContent: role === 'owner' ? `${name} (owner)` : name }),
    element('small', { textContent: email }))));
  $('#add-member').hidden = session.user.role !== 'owner';
}

function show(tab) {
  for (const name of ['in', 'up']) {
    $(`#tab-${name}`).setAttribute('aria-selected', String(name === tab));
    $(`#form-${name}`).hidden = name !== tab;
  }
  $('#door .error').hidden = true;
  $(`#form-${tab} input`).focus();
}

for (const [tab, path] of [['in', 'sign-in'], ['up', 'sign-up']]) {
  $(`#tab-${tab}`).onclick = () => show(tab);
  $(`#form-${tab}`).onsubmit = (event) => {
    event.preventDefault();
    attempt($('#door'), async () => {
      const opened = await call('POST', path, fieldsOf(event.target));
      event.target.reset();
      await enter(opened);
    });
  };
}

$('#sign-out').onclick = () => attempt($('#desk'), async () => {
  await call('POST', 'sign-out', {});
  leave();
});

$('#show-members').onclick = () => {
  drawMembers();
  $('#members-dialog .error').hidden = true;
  $('#members-dialog').showModal();
};

$('#add-member').onsubmit = (event) => {
  event.preventDefault();
  attempt($('#members-dialog'), async () => {
    members.push(await call('POST', 'members', fieldsOf(event.target)));
    event.target.reset();
    drawMembers();
  });
};

$('#task-dialog form').onsubmit = (event) => {
  event.preventDefault();
  attempt($('#task-dialog'), async () => {
    const fields = fieldsOf(event.target);
    fields.assignee ||= null;
    if (edited && fields.column === edited.column) delete fields.column;
    if (edited) await call('PATCH', `tasks/${encodeURIComponent(edited.id)}`, fields);
    else await call('POST', 'tasks', fields);
    $('#task-dialog').close();
    await refresh();
  });
};

$('#delete-task').onclick = () => attempt($('#task-dialog'), async () => {
  await call('DELETE', `tasks/${encodeURIComponent(edited.id)}`);
  $('#task-dialog').close();
  await refresh();
});

for (const button of document.querySelectorAll('[data-close]')) {
  button.onclick = () => button.closest('dialog').close();
}

call('GET', 'session').then(enter).catch(leave);
