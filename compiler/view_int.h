/* view_int.h - inside the compiler of ViewDefinitions: view_doc.c reads the document, view.c makes code of it. */
#ifndef HDW_VIEW_INT_H
#define HDW_VIEW_INT_H
#include "comp_int.h"

enum { VIEW_PARTS = 120, VIEW_CHUNK = 64, VIEW_DEPTH = 60, VIEW_CONSTANTS = 200, VIEW_COLUMNS = 4000 };

typedef struct view_constant { str name; val v; ty t; } view_constant;

typedef struct view {
  comp *c;
  comp_view *info;
  uint32_t file;               /* of the ViewDefinition, for errors of its structure */
  int resource;                /* register of the resource in the present function */
  int index;                   /* register of %rowIndex, -1 */
  ty resource_t;
  view_constant *constants; uint32_t nconstants;
  int parts[VIEW_PARTS]; int nparts;
  int depth;
} view;

/* E0280 and W0380 about the document. */
diag *view_wrong(view *v, const char *f, ...) __attribute__((format(printf, 2, 3)));
diag *view_odd(view *v, const char *f, ...) __attribute__((format(printf, 2, 3)));
/* Member as a normalised value; empty when it is not there. */
val view_get(view *v, val obj, const char *name);
bool view_has(val obj, const char *name);
/* Member that is a string; anything else is reported. p is NULL when there is none. */
str view_text(view *v, val obj, const char *name, const char *where);
/* The objects of a list as the document has them; a list that is none is reported and taken for empty. view_count is the number of its items. */
val view_objects(view *v, val obj, const char *name, const char *where);
static inline uint32_t view_count(val list) { return list.tag == VAL_LIST ? list.len : 0; }
/* Reports members that the specification does not have. */
typedef enum view_place { VIEW_TOP, VIEW_SELECT, VIEW_COLUMN } view_place;
void view_known(view *v, val obj, const char *where, view_place place);
void view_constants(view *v, val doc);
/* Names of all columns in order, into info; the branches of a unionAll must have the same. */
void view_columns(view *v, val list);

#endif
