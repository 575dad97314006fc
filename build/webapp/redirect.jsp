<%-- Redirects to another page of this application, ?to=echo.jsp, in one of the
     ways that applications have: how=relative (default), path (beginning with
     "/"), absolute (with what Tomcat knows of the site), external (elsewhere). --%>
<%@ page session="false" trimDirectiveWhitespaces="true" %>
<%
    String to = request.getParameter("to");
    if (to == null || !to.matches("[a-z]+\\.jsp")) {
        to = "index.jsp";
    }
    String how = request.getParameter("how");
    int port = request.getServerPort();
    boolean usual = port == (request.isSecure() ? 443 : 80);

    if ("path".equals(how)) {
        to = request.getContextPath() + "/" + to;
    } else if ("absolute".equals(how)) {
        to = request.getScheme() + "://" + request.getServerName() + (usual ? "" : ":" + port)
            + request.getContextPath() + "/" + to;
    } else if ("external".equals(how)) {
        to = "https://sso.example.org/" + to;
    }
    response.sendRedirect(to);
%>
